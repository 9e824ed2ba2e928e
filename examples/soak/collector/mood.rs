//! In what ways does a collector fail?

use std::time::Duration;

use crate::dice::Dice;

/// How the collector treats what arrives just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Answers late.
    Slow,
    /// Does not answer.
    Hangs,
    /// 503, and asks to be left alone for a second.
    Unavailable,
    /// 429, without a word of how long.
    TooMany,
    /// 400: is not to be sent again.
    Refuses,
    /// Closes the connection once it has read a request.
    Closes,
    /// Closes it before it has read, so that the system sends a reset.
    Resets,
    /// Answers with what is no HTTP.
    SpeaksNoHttp,
    /// Accepts, with a reply that is no message of the protocol.
    Rambles,
    /// Accepts, with a reply of more bytes than anybody should read.
    RamblesOn,
    /// Accepts a part.
    AcceptsPart,
    /// Accepts, and closes the connection without saying so.
    AcceptsMutely,
    /// Who sends to it panics.
    Panics,
    /// There is nobody at its port.
    Down,
}

const MOODS: [(u64, Mood); 15] = [
    (24, Mood::Well),
    (4, Mood::Slow),
    (2, Mood::Hangs),
    (2, Mood::Unavailable),
    (2, Mood::TooMany),
    (2, Mood::Refuses),
    (2, Mood::Closes),
    (2, Mood::Resets),
    (2, Mood::SpeaksNoHttp),
    (2, Mood::Rambles),
    (1, Mood::RamblesOn),
    (3, Mood::AcceptsPart),
    (2, Mood::AcceptsMutely),
    (2, Mood::Panics),
    (2, Mood::Down),
];

impl Mood {
    pub fn any(dice: &mut Dice) -> Mood {
        dice.weighted(&MOODS)
    }

    /// How long it lasts. Longer when all is well, so that what has piled up can leave.
    pub fn length(self, dice: &mut Dice) -> Duration {
        match self {
            Mood::Well => dice.millis(500..=3_000),
            _ => dice.millis(200..=2_000),
        }
    }

    /// The fault's name; `None` if it is none.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Mood::Well => return None,
            Mood::Slow => "collector: slow",
            Mood::Hangs => "collector: hangs",
            Mood::Unavailable => "collector: 503",
            Mood::TooMany => "collector: 429",
            Mood::Refuses => "collector: 400",
            Mood::Closes => "collector: closes",
            Mood::Resets => "collector: resets",
            Mood::SpeaksNoHttp => "collector: no HTTP",
            Mood::Rambles => "collector: garbage body",
            Mood::RamblesOn => "collector: endless body",
            Mood::AcceptsPart => "collector: partial success",
            Mood::AcceptsMutely => "collector: answer lost",
            Mood::Panics => "exporter panics",
            Mood::Down => "collector: down",
        })
    }
}
