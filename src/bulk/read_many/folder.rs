//! The folder of the files being opened: one after the other is as a rule in the same, and from there
//! the way to each is shorter.

use core::ffi::{c_char, CStr};

use crate::bulk::host::Host;
use crate::bulk::pump::Pump;
use crate::bulk::work::Work;
use crate::sys::os::{O_DIRECTORY, O_PATH};

/// What is kept from one file to the next, while the caller can do nothing in between.
#[derive(Default)]
pub(super) struct Folder {
    /// Its path, with a zero byte.
    path: Vec<u8>,
    way: Way,
}

#[derive(Default)]
enum Way {
    /// Seen once.
    #[default]
    New,
    Open(i32),
    /// It cannot be had without waiting, or descriptors are short.
    Closed,
}

impl Folder {
    /// Open a file by its name, where that needs no waiting. None: by its path, which is also what
    /// tells the error if there is one.
    pub(super) fn open<H: Host>(&mut self, pump: &mut Pump<H>, work: &Work) -> Option<i32> {
        let Work::Open { dir, path, flags, mode } = *work else { return None };
        // SAFETY: the ticket's path, live as long as that (I2).
        let bytes = unsafe { CStr::from_ptr(path) }.to_bytes();
        let slash = bytes.iter().rposition(|byte| *byte == b'/')?;
        if slash == 0 || slash + 1 == bytes.len() {
            return None;
        }
        let fd = self.enter(pump, dir, &bytes[..slash])?;
        let name = bytes[slash + 1..].as_ptr().cast::<c_char>();
        let work = Work::Open { dir: fd, path: name, flags, mode };
        // SAFETY: the end of that path, and a descriptor of ours (I2).
        unsafe { pump.attempt(&work) }.filter(|opened| *opened >= 0)
    }

    /// The descriptor of the folder, from the second file in it on.
    fn enter<H: Host>(&mut self, pump: &mut Pump<H>, dir: i32, path: &[u8]) -> Option<i32> {
        if self.path.len() != path.len() + 1 || self.path[..path.len()] != *path {
            self.leave(pump.host());
            self.path.clear();
            self.path.extend_from_slice(path);
            self.path.push(0);
            return None;
        }
        if let Way::New = self.way {
            let path = self.path.as_ptr().cast::<c_char>();
            let work = Work::Open { dir, path, flags: O_PATH | O_DIRECTORY, mode: 0 };
            // SAFETY: a string of ours with a zero byte at its end (I2).
            self.way = match unsafe { pump.attempt(&work) } {
                Some(fd) if fd >= 0 => Way::Open(fd),
                _ => Way::Closed,
            };
        }
        match self.way {
            Way::Open(fd) => Some(fd),
            _ => None,
        }
    }

    /// Forget it.
    pub(super) fn leave<H: Host>(&mut self, host: &H) {
        if let Way::Open(fd) = core::mem::take(&mut self.way) {
            // SAFETY: opened here, and only used by calls that are over (I10).
            unsafe { host.drop_fd(fd) };
        }
        self.path.clear();
    }

    /// Do without, until the next is entered.
    pub(super) fn give_up<H: Host>(&mut self, host: &H) {
        let path = core::mem::take(&mut self.path);
        self.leave(host);
        (self.path, self.way) = (path, Way::Closed);
    }
}
