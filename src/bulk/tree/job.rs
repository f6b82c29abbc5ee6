//! What one call of copy is about.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::control::Control;
use super::data::Ways;
use super::links::Links;
use super::place::Naming;
use super::trouble::{Fault, Problem, Side};

/// Said of a file that would be copied onto itself.
pub const SAME: &str = "is the same file";
/// Said of a folder that would be copied into itself.
pub const INTO_ITSELF: &str = "cannot be copied into itself";

/// What the caller may choose.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Folders, too; and symbolic links as links.
    pub recursive: bool,
    /// Go on after an error.
    pub collect: bool,
    /// Make named pipes, sockets and devices anew.
    pub specials: bool,
    /// Most threads at work, the calling one included.
    pub threads: usize,
}

/// Everything the threads share.
pub struct Job<'a> {
    /// The state of the job.
    pub control: &'a Control,
    /// What the caller chose.
    pub options: Options,
    /// What file systems do.
    pub ways: Ways,
    /// How new files get their names.
    pub naming: Naming,
    /// Files with several names.
    pub links: Links,
    /// The top of the copy, for links within it; and which folder that is.
    pub top: OnceLock<(OwnedFd, (u64, u64))>,
    /// The paths of both tops, as they are told.
    pub roots: (Vec<u8>, Vec<u8>),
    problems: Mutex<Vec<Problem>>,
}

impl<'a> Job<'a> {
    /// A job that has not begun.
    pub fn new(control: &'a Control, options: Options, roots: (Vec<u8>, Vec<u8>)) -> Self {
        Job {
            control,
            options,
            ways: Ways::default(),
            naming: Naming::default(),
            links: Links::default(),
            top: OnceLock::new(),
            roots,
            problems: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Problem>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something failed, at this path below the tops.
    pub fn report(&self, fault: Fault, path: &[u8]) {
        let (src, dst) = (join(&self.roots.0, path), join(&self.roots.1, path));
        let (path, other) = match fault.side {
            Side::Source => (src, None),
            Side::Target if fault.why == Some(SAME) => (dst, Some(src)),
            Side::Target => (dst, None),
            Side::Both => (src, Some(dst)),
        };
        let mut problems = self.lock();
        if self.options.collect || problems.is_empty() {
            problems.push(Problem { errno: fault.errno, why: fault.why, path, other });
        }
        if !self.options.collect {
            self.control.stop();
        }
    }

    /// What failed.
    pub fn problems(self) -> Vec<Problem> {
        self.problems.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A path below another.
fn join(top: &[u8], path: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        return top.to_vec();
    }
    let mut joined = top.to_vec();
    if joined.last() != Some(&b'/') {
        joined.push(b'/');
    }
    joined.extend_from_slice(path);
    joined
}
