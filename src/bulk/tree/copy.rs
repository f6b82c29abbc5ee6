//! Copying one file or one tree: where it goes, and the walk.

use core::ffi::CStr;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use super::control::{window, Control, Host, Worker};
use super::entry::{copy_entry, Item};
use super::job::{Job, Options, INTO_ITSELF};
use super::node::{release, Fds, Node, FOLDER};
use super::place::Place;
use super::pool::{Batch, Giver, Pool};
use super::trouble::{refuse, Problem, Side, Trouble, Whose};
use crate::sys::tree::{self as sys, Listing, Stat};
use crate::sys::Errno;

/// Copy `src` to `dst`, or into it if that is a folder. What was done is in the counts of
/// `control`; what failed comes back, and where the copy went. A job that the host stopped has
/// failed nothing by that.
pub fn copy(
    src: &CStr,
    dst: &CStr,
    options: Options,
    control: &Control,
    host: &mut dyn Host,
) -> (Vec<Problem>, Vec<u8>) {
    let (goal, into) = goal_of(src.to_bytes(), dst);
    let job = Job::new(control, options, (src.to_bytes().to_vec(), goal.clone()));
    let mut worker = Worker::caller(control, host);
    match begin(&job, &mut worker, src, &goal, into) {
        Ok(()) | Err(Trouble::Stopped) => {}
        Err(Trouble::Fault(fault)) => job.report(fault, b""),
    }
    (job.problems(), goal)
}

/// Without slashes at the end, but for the root.
fn trimmed(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|&byte| byte != b'/').map_or(path.len().min(1), |at| at + 1);
    &path[..end]
}

/// What comes after the last slash.
fn base(path: &[u8]) -> &[u8] {
    let path = trimmed(path);
    path.iter().rposition(|&byte| byte == b'/').map_or(path, |at| &path[at + 1..])
}

/// Into a folder under the same name, and whether it is so; a folder named `.` is taken for its
/// content.
fn goal_of(src: &[u8], dst: &CStr) -> (Vec<u8>, bool) {
    let mut goal = dst.to_bytes().to_vec();
    let is_folder = sys::stat_at(sys::CWD, dst, true).is_ok_and(|s| s.kind() == sys::S_IFDIR);
    let name = base(src);
    let into = is_folder && !matches!(name, b"" | b"." | b"..");
    if into {
        if goal.last() != Some(&b'/') {
            goal.push(b'/');
        }
        goal.extend_from_slice(name);
    }
    (goal, into)
}

fn begin(
    job: &Job<'_>,
    worker: &mut Worker<'_>,
    src: &CStr,
    goal: &[u8],
    into: bool,
) -> Result<(), Trouble> {
    let follow = !job.options.recursive;
    let stat = sys::stat_at(sys::CWD, src, follow).source()?;
    if stat.kind() == sys::S_IFDIR {
        if follow {
            return refuse(Errno::EISDIR, Side::Source, "is a directory, and not recursive");
        }
        return copy_tree(job, worker, src, goal, into);
    }
    if stat.kind() == sys::S_IFREG {
        job.control.total.store(stat.size.max(0) as u64, Relaxed);
    }
    copy_one(job, worker, src, goal, &stat)
}

fn c_string(bytes: &[u8]) -> Result<CString, Errno> {
    CString::new(bytes).map_err(|_| Errno::EINVAL)
}

/// The folder that a path names something in, open; and the name.
fn parent_of(path: &[u8]) -> Result<(OwnedFd, CString), Errno> {
    let path = trimmed(path);
    let name = base(path);
    let dir = match &path[..path.len() - name.len()] {
        b"" => b".",
        dir => dir,
    };
    let dir = sys::open_at(sys::CWD, c_string(dir)?.as_c_str(), sys::O_PATH | sys::O_DIRECTORY, 0)?;
    Ok((dir, c_string(name)?))
}

/// What is no folder.
fn copy_one(
    job: &Job<'_>,
    worker: &mut Worker<'_>,
    src: &CStr,
    goal: &[u8],
    stat: &Stat,
) -> Result<(), Trouble> {
    let follow = !job.options.recursive;
    let writes = follow || stat.kind() == sys::S_IFREG;
    let place = c_string(goal).target()?;
    let there = sys::stat_at(sys::CWD, &place, false);
    let resolved;
    let goal = match there {
        // Through a symbolic link, so that the link stays and what it names is replaced.
        Ok(link) if link.kind() == sys::S_IFLNK && writes => {
            resolved = resolve(goal)?;
            &resolved[..]
        }
        Ok(_) => goal,
        Err(Errno::ENOENT) if goal.last() == Some(&b'/') => return Err(Errno::ENOTDIR).target(),
        Err(Errno::ENOENT) => goal,
        Err(errno) => return Err(errno).target(),
    };
    let (dir, name) = parent_of(goal).target()?;
    let item = Item {
        from: Place { dir: sys::CWD, name: src },
        to: Place { dir: dir.as_fd(), name: &name },
        kind: sys::DT_UNKNOWN,
        follow,
        top: true,
        fresh: false,
        inherited: has_default(dir.as_fd()),
        path: None,
    };
    copy_entry(job, worker, &item)
}

/// Attributes are not to be had of a descriptor that is only a place.
fn has_default(dir: std::os::fd::BorrowedFd<'_>) -> bool {
    sys::open_at(dir, c".", FOLDER, 0).is_ok_and(|dir| super::meta::has_default_acl(dir.as_fd()))
}

/// What a symbolic link leads to in the end.
fn resolve(path: &[u8]) -> Result<Vec<u8>, Trouble> {
    match std::fs::canonicalize(OsStr::from_bytes(path)) {
        Ok(path) => Ok(path.as_os_str().as_bytes().to_vec()),
        Err(error) => match error.raw_os_error().map(Errno) {
            Some(Errno::ENOENT) => {
                refuse(Errno::ENOENT, Side::Target, "is a dangling symbolic link")
            }
            errno => Err(errno.unwrap_or(Errno::EIO)).target(),
        },
    }
}

/// A folder that is being walked: its folders are still to be walked.
struct Frame {
    node: Arc<Node>,
    folders: Vec<CString>,
}

fn copy_tree(
    job: &Job<'_>,
    worker: &mut Worker<'_>,
    src: &CStr,
    goal: &[u8],
    into: bool,
) -> Result<(), Trouble> {
    // A link with a slash at its end is the folder that it leads to.
    let from = sys::open_at(sys::CWD, src, FOLDER, 0).source()?;
    let found = sys::stat_fd(from.as_fd()).source()?;
    refuse_within(&found, goal)?;
    let place = c_string(goal).target()?;
    let fresh = match sys::make_dir_at(sys::CWD, &place, 0o700) {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        Err(errno) => return Err(errno).target(),
    };
    // The caller may have named a link to a folder, but not one in the folder that was named.
    let flags = if into { FOLDER } else { FOLDER & !sys::O_NOFOLLOW };
    let to = open_made(sys::CWD, &place, flags)?;
    let made = sys::stat_fd(to.as_fd()).target()?;
    if made.id() == found.id() {
        return refuse(Errno::EINVAL, Side::Both, INTO_ITSELF);
    }
    let again = sys::open_at(to.as_fd(), c".", sys::O_PATH | sys::O_DIRECTORY, 0).target()?;
    let _ = job.top.set((again, made.id()));
    let fds = Fds { src: from, dst: to };
    let node = Node::new(None, CString::default(), fds, (found, made), fresh);
    let pool = Pool::new(job);
    std::thread::scope(|scope| {
        let mut giver = Giver::new(&pool, scope);
        Walk { job, giver: &mut giver, listing: Listing::default() }.run(worker, node)?;
        giver.finish(worker)
    })
}

fn open_made(
    dir: std::os::fd::BorrowedFd<'_>,
    name: &CStr,
    flags: i32,
) -> Result<OwnedFd, Trouble> {
    match sys::open_at(dir, name, flags, 0) {
        Err(Errno::ENOTDIR | Errno::ELOOP) => {
            refuse(Errno::ENOTDIR, Side::Target, "is there and is no directory")
        }
        other => other.target(),
    }
}

/// Whether the goal is that folder, or would be somewhere below it.
fn refuse_within(folder: &Stat, goal: &[u8]) -> Result<(), Trouble> {
    let flags = sys::O_PATH | sys::O_DIRECTORY;
    let mut path = goal;
    let mut place = loop {
        let above = if path.is_empty() { b"." } else { path };
        match sys::open_at(sys::CWD, &c_string(above).target()?, flags, 0) {
            Ok(place) => break place,
            // What is not made yet is not that folder, but may be meant to be in it.
            Err(Errno::ENOENT) if !path.is_empty() => {
                let path_end = trimmed(path);
                path = &path_end[..path_end.len() - base(path_end).len()];
            }
            // Whatever is there is no folder; making one will say so.
            Err(Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
            Err(errno) => return Err(errno).target(),
        }
    };
    let mut last = None;
    loop {
        let id = sys::stat_fd(place.as_fd()).target()?.id();
        if id == folder.id() {
            return refuse(Errno::EINVAL, Side::Both, INTO_ITSELF);
        }
        if last == Some(id) {
            return Ok(()); // the root is its own parent
        }
        last = Some(id);
        place = match sys::open_at(place.as_fd(), c"..", flags, 0) {
            Ok(above) => above,
            Err(_) => return Ok(()), // not for us to see, so no source either
        };
    }
}

/// The calling thread's walk over the tree.
struct Walk<'w, 's, 'e, 'j> {
    job: &'w Job<'j>,
    giver: &'w mut Giver<'s, 'e>,
    listing: Listing,
}

impl Walk<'_, '_, '_, '_> {
    fn run(&mut self, worker: &mut Worker<'_>, top: Arc<Node>) -> Result<(), Trouble> {
        let window = window();
        // A stack rather than recursion: as deep as a tree may be, the thread's stack is not.
        let mut stack = vec![self.scan(worker, top)?];
        loop {
            worker.check()?;
            let Some(frame) = stack.last_mut() else { return Ok(()) };
            let Some(name) = frame.folders.pop() else {
                // Files of it that others still copy would keep all folders open that are left
                // meanwhile, one above the other.
                if stack.len() > window {
                    self.giver.finish(worker)?;
                }
                self.leave(&mut stack);
                continue;
            };
            let node = Arc::clone(&frame.node);
            match self.enter(worker, &node, &name) {
                Ok(Some(inner)) => {
                    stack.push(self.scan(worker, inner)?);
                    if stack.len() > window {
                        stack[stack.len() - 1 - window].node.park();
                    }
                }
                Ok(None) => {}
                Err(Trouble::Fault(fault)) => {
                    self.job.report(fault, &node.path(Some(name.to_bytes())));
                }
                Err(Trouble::Stopped) => return Err(Trouble::Stopped),
            }
        }
    }

    /// The last folder of the stack is done.
    fn leave(&mut self, stack: &mut Vec<Frame>) {
        let Some(done) = stack.pop() else { return };
        if let Some(above) = stack.last_mut() {
            let opened = match done.node.fds() {
                Some(fds) => above.node.unpark(&fds),
                None => Err(Errno::ESTALE).both(),
            };
            if let (Err(Trouble::Fault(fault)), true) = (opened, above.node.fds().is_none()) {
                self.job.report(fault, &above.node.path(None));
                above.folders.clear();
            }
        }
        release(self.job, done.node);
    }

    /// Make a folder and open both. `None` if what was one is one no more, and was copied so.
    fn enter(
        &mut self,
        worker: &mut Worker<'_>,
        above: &Arc<Node>,
        name: &CStr,
    ) -> Result<Option<Arc<Node>>, Trouble> {
        let fds = above.fds().ok_or(Errno::ESTALE).source()?;
        let src = match sys::open_at(fds.src.as_fd(), name, FOLDER, 0) {
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                let mut batch = Batch::new(above, &fds);
                batch.push(name, sys::DT_UNKNOWN);
                self.giver.give(worker, batch)?;
                return Ok(None);
            }
            other => other.source()?,
        };
        let stat = sys::stat_fd(src.as_fd()).source()?;
        if self.job.top.get().is_some_and(|(_, id)| *id == stat.id()) {
            return refuse(Errno::EINVAL, Side::Both, INTO_ITSELF);
        }
        let fresh = match sys::make_dir_at(fds.dst.as_fd(), name, 0o700) {
            Ok(()) => true,
            Err(Errno::EEXIST) => false,
            Err(errno) => return Err(errno).target(),
        };
        let dst = open_made(fds.dst.as_fd(), name, FOLDER)?;
        let made = sys::stat_fd(dst.as_fd()).target()?;
        if made.id() == stat.id() {
            return refuse(Errno::EINVAL, Side::Both, INTO_ITSELF);
        }
        let (above, fds) = (Some(Arc::clone(above)), Fds { src, dst });
        Ok(Some(Node::new(above, name.to_owned(), fds, (stat, made), fresh)))
    }

    /// Read a folder: its files are given away, its folders remembered.
    fn scan(&mut self, worker: &mut Worker<'_>, node: Arc<Node>) -> Result<Frame, Trouble> {
        let mut folders = Vec::new();
        self.listing.restart();
        if let Some(fds) = node.fds() {
            let mut batch = Batch::new(&node, &fds);
            loop {
                let full = match self.listing.next(fds.src.as_fd()) {
                    Ok(None) => break,
                    Ok(Some(entry)) => match real_kind(&fds, entry.name, entry.kind) {
                        sys::DT_DIR => {
                            folders.push(entry.name.to_owned());
                            false
                        }
                        kind => batch.push(entry.name, kind),
                    },
                    Err(errno) => {
                        let fault = super::trouble::Fault { errno, side: Side::Source, why: None };
                        self.job.report(fault, &node.path(None));
                        break;
                    }
                };
                if full {
                    let full = std::mem::replace(&mut batch, Batch::new(&node, &fds));
                    self.giver.give(worker, full)?;
                }
            }
            if !batch.is_empty() {
                self.giver.give(worker, batch)?;
            }
        }
        Ok(Frame { node, folders })
    }
}

/// Some file systems tell no types.
fn real_kind(fds: &Fds, name: &CStr, kind: u8) -> u8 {
    if kind != sys::DT_UNKNOWN {
        return kind;
    }
    let is_folder =
        sys::stat_at(fds.src.as_fd(), name, false).is_ok_and(|stat| stat.kind() == sys::S_IFDIR);
    if is_folder {
        sys::DT_DIR
    } else {
        kind
    }
}
