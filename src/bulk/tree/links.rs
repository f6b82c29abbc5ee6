//! Files with several names: the first is copied, the others become links to the copy.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::control::Worker;
use super::trouble::Trouble;
use crate::sys::tree as sys;
use crate::sys::Errno;

type Id = (u64, u64);

/// The copy of a file that has more names.
#[derive(Clone)]
pub struct Copied {
    /// Where it is, below the top of the copy.
    pub path: Vec<u8>,
    /// Which file it is.
    pub id: Id,
}

enum State {
    UnderWay,
    Done(Copied),
}

/// By device and inode of the original.
#[derive(Default)]
pub struct Links {
    known: Mutex<HashMap<Id, State>>,
    changed: Condvar,
}

/// Whose turn it is.
pub enum Claim<'a> {
    /// The caller's: to be settled, or dropped if it failed.
    Mine(Mine<'a>),
    /// It has been copied.
    Have(Copied),
}

/// The duty to copy a file.
pub struct Mine<'a> {
    links: &'a Links,
    id: Id,
    copied: Option<Copied>,
}

impl Links {
    fn lock(&self) -> MutexGuard<'_, HashMap<Id, State>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who copies this file? Waits for another thread that is at it.
    pub fn claim(&self, worker: &mut Worker<'_>, id: Id) -> Result<Claim<'_>, Trouble> {
        loop {
            let mut known = self.lock();
            match known.get(&id) {
                Some(State::Done(copied)) => return Ok(Claim::Have(copied.clone())),
                None => {
                    known.insert(id, State::UnderWay);
                    return Ok(Claim::Mine(Mine { links: self, id, copied: None }));
                }
                Some(State::UnderWay) => worker.nap(&self.changed, known)?,
            }
        }
    }
}

impl Mine<'_> {
    /// It is there.
    pub fn settle(mut self, copied: Copied) {
        self.copied = Some(copied);
    }
}

impl Drop for Mine<'_> {
    fn drop(&mut self) {
        let mut known = self.links.lock();
        match self.copied.take() {
            Some(copied) => drop(known.insert(self.id, State::Done(copied))),
            // It failed: the next name is another try.
            None => drop(known.remove(&self.id)),
        }
        drop(known);
        self.links.changed.notify_all();
    }
}

/// The folder that a copy is in, and its name there. Step by step, never through a symbolic link.
pub fn find(top: BorrowedFd<'_>, copied: &Copied) -> Result<(OwnedFd, CString), Errno> {
    const STEP: i32 = sys::O_PATH | sys::O_DIRECTORY | sys::O_NOFOLLOW;
    let mut dir = sys::open_at(top, c".", STEP, 0)?;
    let mut names = copied.path.split(|&byte| byte == b'/').peekable();
    while let Some(name) = names.next() {
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        if names.peek().is_some() {
            dir = sys::open_at(dir.as_fd(), &name, STEP, 0)?;
            continue;
        }
        if sys::stat_at(dir.as_fd(), &name, false)?.id() != copied.id {
            return Err(Errno::ESTALE);
        }
        return Ok((dir, name));
    }
    Err(Errno::ENOENT)
}
