//! The folders of a tree while it is copied.
//!
//! A folder gets its mode and its times when nothing is made in it any more: when the last that
//! holds its node lets go. Deep trees have more folders than a process may have descriptors: those
//! far up are closed, and opened again through `..` of the one below.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::control::add;
use super::job::Job;
use super::meta;
use super::trouble::{Fault, Side, Trouble, Whose};
use crate::sys::tree::{self as sys, Stat};
use crate::sys::Errno;

/// How a folder is opened that a path was not given for.
pub const FOLDER: i32 = sys::O_RDONLY | sys::O_DIRECTORY | sys::O_NOFOLLOW | sys::O_NONBLOCK;

/// Both folders, open.
pub struct Fds {
    /// What is copied.
    pub src: OwnedFd,
    /// Where to.
    pub dst: OwnedFd,
}

/// One folder of the tree.
pub struct Node {
    parent: Option<Arc<Node>>,
    name: CString,
    stat: Stat,
    made: Stat,
    /// Nothing was in it when it was made.
    pub fresh: bool,
    /// It gives access lists to what is made in it.
    pub inherited: bool,
    fds: Mutex<Option<Arc<Fds>>>,
}

impl Node {
    /// A folder that is open on both sides.
    pub fn new(
        parent: Option<Arc<Node>>,
        name: CString,
        fds: Fds,
        stats: (Stat, Stat),
        fresh: bool,
    ) -> Arc<Self> {
        // A new folder in one that gives no lists gives none.
        let may = !fresh || parent.as_ref().is_none_or(|parent| parent.inherited);
        let inherited = may && meta::has_default_acl(fds.dst.as_fd());
        let (stat, made) = stats;
        let fds = Mutex::new(Some(Arc::new(fds)));
        Arc::new(Node { parent, name, stat, made, fresh, inherited, fds })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Fds>>> {
        self.fds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its descriptors, unless it is parked.
    pub fn fds(&self) -> Option<Arc<Fds>> {
        self.lock().clone()
    }

    /// Close its descriptors for the time being. Whoever uses them just now keeps them.
    pub fn park(&self) {
        let fds = self.lock().take();
        drop(fds);
    }

    /// Open it again, from a folder that is in it.
    pub fn unpark(&self, below: &Fds) -> Result<(), Trouble> {
        if self.lock().is_some() {
            return Ok(());
        }
        let src = sys::open_at(below.src.as_fd(), c"..", FOLDER, 0).source()?;
        let dst = sys::open_at(below.dst.as_fd(), c"..", FOLDER, 0).target()?;
        // Somebody may have moved the folder below away.
        if sys::stat_fd(src.as_fd()).source()?.id() != self.stat.id() {
            return Err(Errno::ESTALE).source();
        }
        if sys::stat_fd(dst.as_fd()).target()?.id() != self.made.id() {
            return Err(Errno::ESTALE).target();
        }
        *self.lock() = Some(Arc::new(Fds { src, dst }));
        Ok(())
    }

    /// Its path below the top, or that of something in it.
    pub fn path(&self, inside: Option<&[u8]>) -> Vec<u8> {
        let mut names: Vec<&[u8]> = inside.into_iter().collect();
        let mut node = self;
        while let Some(parent) = &node.parent {
            names.push(node.name.to_bytes());
            node = parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    fn finish(&self, job: &Job<'_>) {
        // Parked for good: said when it could not be opened again.
        let Some(fds) = self.fds() else { return };
        let (src, dst) = (fds.src.as_fd(), fds.dst.as_fd());
        match meta::copy_all(src, &self.stat, dst, &self.made, self.inherited) {
            Ok(()) => add(&job.control.counts.directories, 1),
            Err(errno) => {
                job.report(Fault { errno, side: Side::Target, why: None }, &self.path(None));
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // One after the other: as deep as a tree may be, the stack is not.
        let mut next = self.parent.take();
        while let Some(mut node) = next.and_then(Arc::into_inner) {
            next = node.parent.take();
        }
    }
}

/// Let go of a folder. The last to do so finishes it, and lets go of the one above.
pub fn release(job: &Job<'_>, node: Arc<Node>) {
    let mut next = Some(node);
    while let Some(mut node) = next.and_then(Arc::into_inner) {
        if !job.control.stopped() {
            node.finish(job);
        }
        next = node.parent.take();
    }
}
