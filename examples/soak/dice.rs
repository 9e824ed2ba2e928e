//! What is done next? Chance decides, and the seed decides chance: what a kind of load does one
//! after the other is the same in each run with that seed. When it does it is up to the machine.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A row of numbers that look random: `splitmix64`.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    /// The row that belongs to a seed, and to one of those who throw dice in a run.
    pub fn new(seed: u64, thrower: u64) -> Dice {
        let mut dice = Dice(seed);
        let row = dice.throw();
        Dice(row ^ thrower.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Any of these numbers. That small ones are a little likelier does no harm here.
    pub fn among(&mut self, numbers: RangeInclusive<u64>) -> u64 {
        let (first, last) = numbers.into_inner();
        first + self.throw() % (last - first + 1)
    }

    /// Happens once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.among(1..=times) == 1
    }

    pub fn micros(&mut self, numbers: RangeInclusive<u64>) -> Duration {
        Duration::from_micros(self.among(numbers))
    }

    pub fn millis(&mut self, numbers: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.among(numbers))
    }

    /// One of these, each as likely as its weight says.
    pub fn weighted<T: Copy>(&mut self, choices: &[(u64, T)]) -> T {
        let total: u64 = choices.iter().map(|(weight, _)| weight).sum();
        let mut left = self.among(1..=total);
        for (weight, choice) in choices {
            if left <= *weight {
                return *choice;
            }
            left -= weight;
        }
        unreachable!("the weights add up to the total")
    }

    /// Another row, for somebody who throws dice meanwhile.
    pub fn split(&mut self) -> Dice {
        Dice(self.throw())
    }
}
