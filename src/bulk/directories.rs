//! The directories that files are written to: opened once each, and fsynced once each after the
//! last name was changed in them.

use std::collections::HashMap;
use std::ffi::CString;

use crate::bulk::store::Store;
use crate::bulk::work::Work;
use crate::sys::errno::uninterrupted;
use crate::sys::Errno;

/// So many are kept open at a time; then those that nothing is being written to are closed.
const OPEN_MOST: usize = 64;

struct Directory {
    path: CString,
    fd: i32,
    /// Device and number: one directory may have several names.
    same: (u64, u64),
    /// Files that are being written there.
    users: u32,
    /// A name was changed since it was last fsynced.
    dirty: bool,
}

/// See the [module](self).
pub struct Directories<H: Store> {
    host: H,
    /// Where relative paths start.
    base: i32,
    /// Names have to survive a power cut.
    sync: bool,
    list: Vec<Option<Directory>>,
    known: HashMap<CString, usize>,
    failed: Vec<(CString, Errno)>,
    /// fsyncs made.
    pub synced: u64,
}

/// A path cut into directory and last name. "" is no name.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(0) => (b"/", &path[1..]),
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b".", path),
    }
}

impl<H: Store> Directories<H> {
    /// None is open yet.
    pub fn new(host: H, base: i32, sync: bool) -> Self {
        let (list, known, failed) = (Vec::new(), HashMap::new(), Vec::new());
        Directories { host, base, sync, list, known, failed, synced: 0 }
    }

    /// The directory of that path, for one file that will be written there.
    pub fn enter(&mut self, path: &[u8]) -> Result<usize, Errno> {
        let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
        if let Some(&index) = self.known.get(&path) {
            self.change(index, |directory| directory.users += 1);
            return Ok(index);
        }
        if self.open_count() >= OPEN_MOST {
            self.let_go_of_idle();
        }
        let fd = match self.open(&path) {
            Err(Errno::EMFILE | Errno::ENFILE) => {
                self.let_go_of_idle();
                self.open(&path)?
            }
            opened => opened?,
        };
        let same = self.host.status(fd).map_or((u64::MAX, fd as u64), |s| (s.dev, s.ino));
        let index = match self.find(same) {
            Some(index) => {
                self.close(fd);
                index
            }
            None => self.add(Directory { path: path.clone(), fd, same, users: 0, dirty: false }),
        };
        self.change(index, |directory| directory.users += 1);
        self.known.insert(path, index);
        Ok(index)
    }

    fn open(&self, path: &CString) -> Result<i32, Errno> {
        uninterrupted(|| self.host.open_directory(self.base, path, self.sync))
    }

    fn open_count(&self) -> usize {
        self.list.iter().flatten().count()
    }

    fn find(&self, same: (u64, u64)) -> Option<usize> {
        self.list.iter().position(|each| each.as_ref().is_some_and(|d| d.same == same))
    }

    fn add(&mut self, directory: Directory) -> usize {
        let free = self.list.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.list.push(None);
            self.list.len() - 1
        });
        self.list[index] = Some(directory);
        index
    }

    fn change(&mut self, index: usize, how: impl FnOnce(&mut Directory)) {
        if let Some(directory) = self.list.get_mut(index).and_then(Option::as_mut) {
            how(directory);
        }
    }

    /// Its descriptor.
    pub fn fd(&self, index: usize) -> i32 {
        self.list.get(index).and_then(Option::as_ref).map_or(-1, |directory| directory.fd)
    }

    /// A file there is done with; was a name changed?
    pub fn leave(&mut self, index: usize, renamed: bool) {
        let sync = self.sync;
        self.change(index, |directory| {
            directory.users -= 1;
            directory.dirty |= renamed && sync;
        });
    }

    /// The paths may mean other directories by now: ask again. What is open stays so.
    pub fn forget_names(&mut self) {
        self.known.clear();
        if !self.sync {
            self.let_go_of_idle();
        }
    }

    /// Close those that nothing is being written to, fsynced if need be.
    pub fn let_go_of_idle(&mut self) {
        for index in 0..self.list.len() {
            let Some(directory) = self.list[index].take_if(|each| each.users == 0) else {
                continue;
            };
            self.known.retain(|_, known| *known != index);
            if directory.dirty {
                self.sync_one(&directory);
            }
            self.close(directory.fd);
        }
    }

    fn sync_one(&mut self, directory: &Directory) {
        self.synced += 1;
        let work = Work::Fsync { fd: directory.fd, data_only: false };
        let done = uninterrupted(|| {
            // SAFETY: no memory is passed, and the descriptor is ours (I10).
            match unsafe { self.host.carry_out(&work) } {
                0.. => Ok(()),
                errno => Err(Errno(-errno)),
            }
        });
        if let Err(errno) = done {
            self.failed.push((directory.path.clone(), errno));
        }
    }

    /// Directories that could not be fsynced since this was last asked.
    pub fn take_failed(&mut self) -> Vec<(CString, Errno)> {
        core::mem::take(&mut self.failed)
    }

    fn close(&self, fd: i32) {
        // SAFETY: opened here, and used no more (I10).
        unsafe { self.host.drop_fd(fd) };
    }
}

impl<H: Store> Drop for Directories<H> {
    fn drop(&mut self) {
        for directory in self.list.iter_mut().filter_map(Option::take) {
            // SAFETY: opened here, and used no more (I10).
            unsafe { self.host.drop_fd(directory.fd) };
        }
    }
}
