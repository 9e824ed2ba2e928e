//! Who is at the other side of a Unix stream.

use super::{gid_t, pid_t, uid_t};
use std::io;
use std::os::fd::AsFd;

/// Who the process at the other side was when the connection was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UCred {
    pid: Option<pid_t>,
    uid: uid_t,
    gid: gid_t,
}

impl UCred {
    /// Its user.
    pub fn uid(&self) -> uid_t {
        self.uid
    }

    /// Its group.
    pub fn gid(&self) -> gid_t {
        self.gid
    }

    /// Its number, where the operating system tells.
    pub fn pid(&self) -> Option<pid_t> {
        self.pid
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn of_peer(socket: impl AsFd) -> io::Result<UCred> {
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
    let found = getsockopt(&socket, PeerCredentials)?;
    Ok(UCred {
        pid: Some(found.pid()),
        uid: found.uid(),
        gid: found.gid(),
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn of_peer(socket: impl AsFd) -> io::Result<UCred> {
    let (uid, gid) = nix::unistd::getpeereid(socket)?;
    Ok(UCred {
        pid: None,
        uid: uid.as_raw(),
        gid: gid.as_raw(),
    })
}
