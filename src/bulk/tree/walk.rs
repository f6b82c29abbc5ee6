//! Walking a tree, a batch of names at a time, with the status of each.
//!
//! There is no thread between two batches: a walk that is given up holds a few descriptors, which
//! close with it.

use core::ffi::CStr;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::control::{window, Host, Stop};
use super::stat::{stat_all, Answer};
use crate::sys::tree::{self as sys, Listing, Stat};
use crate::sys::Errno;

/// Names in one batch: enough for a few threads, and little memory.
const BATCH: usize = 512;
/// Folders that one batch may come from, as they are open as long.
const FOLDERS: usize = 32;

/// What the caller may choose.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Ask for the status of everything, or only tell the type.
    pub stat: bool,
    /// Through symbolic links.
    pub follow: bool,
    /// Most threads at once, chosen by timing if `None`.
    pub threads: Option<usize>,
}

struct Folder {
    /// With a slash at the end, as the names in it are told.
    path: Arc<Vec<u8>>,
    fd: Option<Arc<OwnedFd>>,
    id: (u64, u64),
    /// Folders in it that are still to be walked.
    inner: Vec<CString>,
    listed: bool,
}

/// Something that was found.
pub struct Found<'b> {
    /// The path of its folder, with a slash at the end.
    pub folder: &'b [u8],
    /// Its name; empty for the folder itself, which could not be read.
    pub name: &'b CStr,
    /// Its status, of which only the type is filled in if no more was asked for; or why not.
    pub answer: Answer,
}

struct Item {
    folder: u32,
    start: u32,
    kind: u8,
}

/// The path of a folder, and the folder, for as long as its names are asked about.
type Place = (Arc<Vec<u8>>, Option<Arc<OwnedFd>>);

/// What was found at once.
#[derive(Default)]
pub struct Batch {
    folders: Vec<Place>,
    names: Vec<u8>,
    items: Vec<Item>,
    answers: Vec<Answer>,
}

impl Batch {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn name(&self, item: &Item) -> &CStr {
        CStr::from_bytes_until_nul(&self.names[item.start as usize..]).unwrap_or_default()
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<Found<'_>> {
        let item = self.items.get(index)?;
        let folder = self.folders.get(item.folder as usize)?.0.as_slice();
        Some(Found { folder, name: self.name(item), answer: *self.answers.get(index)? })
    }

    fn push(&mut self, name: &CStr, kind: u8, answer: Answer) {
        let folder = self.folders.len().saturating_sub(1) as u32;
        self.items.push(Item { folder, start: self.names.len() as u32, kind });
        self.names.extend_from_slice(name.to_bytes_with_nul());
        self.answers.push(answer);
    }
}

/// A walk under way.
pub struct Walk {
    options: Options,
    stack: Vec<Folder>,
    top: Option<CString>,
    listing: Listing,
}

impl Walk {
    /// Everything below this folder, but not itself.
    pub fn new(top: CString, options: Options) -> Self {
        Walk { options, stack: Vec::new(), top: Some(top), listing: Listing::default() }
    }

    /// The next names; none at the end. All of a folder come before what is in its folders.
    pub fn next(&mut self, host: &mut dyn Host) -> Result<Batch, Stop> {
        let mut batch = Batch::default();
        if let Some(top) = self.top.take() {
            self.begin(&top, &mut batch);
        }
        while batch.len() < BATCH && batch.folders.len() < FOLDERS && self.step(&mut batch) {}
        self.ask(&mut batch, host)?;
        // Their descriptors are of no more use.
        batch.folders.iter_mut().for_each(|folder| folder.1 = None);
        Ok(batch)
    }

    fn begin(&mut self, top: &CStr, batch: &mut Batch) {
        let mut path = top.to_bytes().to_vec();
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        // The top is followed if it is a symbolic link: the caller named it.
        self.open(sys::CWD, top, path, true, batch);
    }

    /// Do one thing: list some of a folder, or go into the next one. False at the end.
    fn step(&mut self, batch: &mut Batch) -> bool {
        let Some(folder) = self.stack.last_mut() else { return false };
        if !folder.listed {
            self.list(batch);
        } else if let Some(name) = folder.inner.pop() {
            let mut path = folder.path.to_vec();
            path.extend_from_slice(name.to_bytes());
            path.push(b'/');
            match self.reopened() {
                Some(fd) => self.open(fd.as_fd(), &name, path, self.options.follow, batch),
                None => {
                    // Moved away while we were further down.
                    batch.folders.push((Arc::new(path), None));
                    batch.push(c"", sys::DT_UNKNOWN, Err(Errno::ESTALE));
                }
            }
        } else {
            self.leave();
        }
        true
    }

    /// Open a folder and put it on the stack.
    fn open(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        path: Vec<u8>,
        follow: bool,
        batch: &mut Batch,
    ) {
        let flags = sys::O_RDONLY | sys::O_DIRECTORY | sys::O_NONBLOCK;
        let flags = if follow { flags } else { flags | sys::O_NOFOLLOW };
        let opened = sys::open_at(dir, name, flags, 0)
            .and_then(|fd| sys::stat_fd(fd.as_fd()).map(|stat| (fd, stat.id())));
        let path = Arc::new(path);
        match opened {
            // A link to a folder that it is in itself.
            Ok((_, id)) if self.stack.iter().any(|folder| folder.id == id) => {
                batch.folders.push((path, None));
                batch.push(c"", sys::DT_UNKNOWN, Err(Errno::ELOOP));
            }
            Ok((fd, id)) => {
                let (fd, inner) = (Some(Arc::new(fd)), Vec::new());
                self.stack.push(Folder { path, fd, id, inner, listed: false });
                self.listing.restart();
                let window = window();
                if self.stack.len() > window {
                    let far = self.stack.len() - 1 - window;
                    self.stack[far].fd = None;
                }
            }
            // Gone, or no folder any more, since it was told of.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) if !self.stack.is_empty() => {}
            Err(errno) => {
                batch.folders.push((path, None));
                batch.push(c"", sys::DT_UNKNOWN, Err(errno));
            }
        }
    }

    /// List the folder on top until it ends, or the batch is full.
    fn list(&mut self, batch: &mut Batch) {
        let top = self.stack.len() == 1;
        let Some(folder) = self.stack.last_mut() else { return };
        let Some(fd) = folder.fd.clone() else {
            folder.listed = true;
            return;
        };
        batch.folders.push((Arc::clone(&folder.path), Some(Arc::clone(&fd))));
        while batch.items.len() < BATCH {
            match self.listing.next(fd.as_fd()) {
                Ok(Some(entry)) => {
                    let kind = entry.kind;
                    if kind == sys::DT_DIR {
                        folder.inner.push(entry.name.to_owned());
                    }
                    batch.push(entry.name, kind, Ok(told(kind)));
                    let told = kind != sys::DT_UNKNOWN;
                    if !told || (self.options.follow && kind == sys::DT_LNK) {
                        let found = sys::stat_at(fd.as_fd(), entry.name, self.options.follow);
                        if found.is_ok_and(|stat| stat.kind() == sys::S_IFDIR) {
                            folder.inner.push(entry.name.to_owned());
                        }
                    }
                }
                Ok(None) => {
                    folder.listed = true;
                    break;
                }
                // Removed since it was opened.
                Err(Errno::ENOENT) if !top => {
                    folder.listed = true;
                    break;
                }
                Err(errno) => {
                    folder.listed = true;
                    batch.push(c"", sys::DT_UNKNOWN, Err(errno));
                    break;
                }
            }
        }
    }

    fn leave(&mut self) {
        let Some(done) = self.stack.pop() else { return };
        let Some(above) = self.stack.last_mut() else { return };
        if above.fd.is_none() && !above.inner.is_empty() {
            // The way up, if it leads there: not from a folder that a link led to.
            if let Some(fd) = &done.fd {
                above.fd = again(fd.as_fd(), c"..", above.id);
            }
        }
    }

    /// The folder on top of the stack, which may have been closed meanwhile.
    fn reopened(&mut self) -> Option<Arc<OwnedFd>> {
        let folder = self.stack.last()?;
        if folder.fd.is_none() {
            // From the nearest one that is open, step by step.
            let start = self.stack.iter().rposition(|folder| folder.fd.is_some());
            let mut path = Vec::new();
            let mut fd = match start {
                Some(at) => self.stack[at].fd.clone()?,
                None => {
                    path.extend_from_slice(&self.stack.first()?.path);
                    let top = CString::new(path.clone()).ok()?;
                    again(sys::CWD, &top, self.stack.first()?.id)?
                }
            };
            for at in start.unwrap_or(0) + 1..self.stack.len() {
                let above = self.stack[at - 1].path.len();
                let name = CString::new(self.stack[at].path.get(above..)?).ok()?;
                fd = again(fd.as_fd(), &name, self.stack[at].id)?;
            }
            self.stack.last_mut()?.fd = Some(fd);
        }
        self.stack.last()?.fd.clone()
    }

    /// Fill in what was asked for.
    fn ask(&mut self, batch: &mut Batch, host: &mut dyn Host) -> Result<(), Stop> {
        let wanted = |item: &Item| match item.kind {
            sys::DT_UNKNOWN => true,
            sys::DT_LNK => self.options.stat || self.options.follow,
            _ => self.options.stat,
        };
        let asked: Vec<usize> = (0..batch.len())
            .filter(|&at| batch.answers[at].is_ok() && wanted(&batch.items[at]))
            .collect();
        let mut answers = vec![Err(Errno::EIO); asked.len()];
        let name = |index: usize| {
            let item: &Item = &batch.items[asked[index]];
            let dir = batch.folders[item.folder as usize].1.as_ref();
            (dir.map_or(sys::CWD, |dir| dir.as_fd()), batch.name(item))
        };
        stat_all(&mut answers, &name, self.options.follow, self.options.threads, host)?;
        for (at, mut answer) in asked.into_iter().zip(answers) {
            if self.options.follow && answer == Err(Errno::ENOENT) {
                // A link that leads nowhere is told as what it is.
                let item = &batch.items[at];
                if let Some(dir) = &batch.folders[item.folder as usize].1 {
                    answer = sys::stat_at(dir.as_fd(), batch.name(item), false);
                }
            }
            batch.answers[at] = answer;
        }
        Ok(())
    }
}

/// Open a folder anew, if it is still that one.
fn again(dir: BorrowedFd<'_>, name: &CStr, id: (u64, u64)) -> Option<Arc<OwnedFd>> {
    let fd = sys::open_at(dir, name, sys::O_RDONLY | sys::O_DIRECTORY, 0).ok()?;
    (sys::stat_fd(fd.as_fd()).ok()?.id() == id).then(|| Arc::new(fd))
}

/// The type alone, as a status.
fn told(kind: u8) -> Stat {
    let mode = match kind {
        sys::DT_REG => sys::S_IFREG,
        sys::DT_DIR => sys::S_IFDIR,
        sys::DT_LNK => sys::S_IFLNK,
        sys::DT_FIFO => sys::S_IFIFO,
        sys::DT_SOCK => sys::S_IFSOCK,
        sys::DT_CHR => sys::S_IFCHR,
        sys::DT_BLK => sys::S_IFBLK,
        _ => 0,
    };
    Stat { mode, ..Stat::default() }
}
