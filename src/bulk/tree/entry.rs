//! Copying one name: a file, a symbolic link, a pipe. Whatever it turns out to be when it is looked
//! at, below the top nothing is reached through a symbolic link.

use core::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::control::{add, Worker};
use super::data::{copy_data, copy_stream, Ends};
use super::job::{Job, SAME};
use super::links::{self, Claim, Copied};
use super::meta;
use super::place::{Committed, Place, Target, Temporary};
use super::trouble::{refuse, Side, Trouble, Whose};
use crate::sys::tree::{self as sys, Stat};
use crate::sys::Errno;

/// One name to be copied.
pub struct Item<'a> {
    /// What.
    pub from: Place<'a>,
    /// Where to.
    pub to: Place<'a>,
    /// `DT_*`, as the folder says.
    pub kind: u8,
    /// It was named by the caller, who may mean what a symbolic link leads to.
    pub follow: bool,
    /// The place was named by the caller, and may be a device or a pipe to be written to.
    pub top: bool,
    /// Nothing can be there yet.
    pub fresh: bool,
    /// The folder gives access lists to what is made in it.
    pub inherited: bool,
    /// Tells where this is, below the top of the copy; `None` where links do not matter.
    pub path: Option<&'a dyn Fn() -> Vec<u8>>,
}

/// It is of another kind than was thought.
enum Seen {
    Done,
    Otherwise,
}

/// Copy this name, whatever it is.
pub fn copy_entry(job: &Job<'_>, worker: &mut Worker<'_>, item: &Item<'_>) -> Result<(), Trouble> {
    let mut kind = item.kind;
    for _ in 0..4 {
        if kind == sys::DT_UNKNOWN {
            kind = kind_of(&sys::stat_at(item.from.dir, item.from.name, item.follow).source()?);
        }
        let seen = match kind {
            sys::DT_REG => copy_file(job, worker, item)?,
            sys::DT_LNK => copy_link(job, worker, item)?,
            sys::DT_DIR => {
                let why = "has become a directory meanwhile";
                return refuse(Errno::EISDIR, Side::Source, why);
            }
            _ if item.follow => copy_file(job, worker, item)?,
            _ => copy_special(job, worker, item)?,
        };
        match seen {
            Seen::Done => return Ok(()),
            Seen::Otherwise => kind = sys::DT_UNKNOWN,
        }
    }
    // Somebody is playing with us.
    Err(Errno::ESTALE).source()
}

fn kind_of(stat: &Stat) -> u8 {
    match stat.kind() {
        sys::S_IFREG => sys::DT_REG,
        sys::S_IFLNK => sys::DT_LNK,
        sys::S_IFDIR => sys::DT_DIR,
        sys::S_IFIFO => sys::DT_FIFO,
        sys::S_IFSOCK => sys::DT_SOCK,
        sys::S_IFBLK => sys::DT_BLK,
        _ => sys::DT_CHR,
    }
}

/// What is there already; an error if that is the very file.
fn existing(item: &Item<'_>, stat: &Stat) -> Result<Option<Stat>, Trouble> {
    if item.fresh {
        return Ok(None);
    }
    let there = item.to.existing()?;
    if there.is_some_and(|there| there.id() == stat.id()) {
        return refuse(Errno::EINVAL, Side::Target, SAME);
    }
    Ok(there)
}

fn copy_file(job: &Job<'_>, worker: &mut Worker<'_>, item: &Item<'_>) -> Result<Seen, Trouble> {
    // What was seen as a plain file must not block, should it be a pipe by now.
    let flags = sys::O_RDONLY | sys::O_NOCTTY | sys::O_NONBLOCK;
    let flags = if item.follow { flags } else { flags | sys::O_NOFOLLOW };
    let fd = match sys::open_at(item.from.dir, item.from.name, flags, 0) {
        Err(Errno::ELOOP | Errno::ENXIO) if !item.follow => return Ok(Seen::Otherwise),
        other => other.source()?,
    };
    let stat = sys::stat_fd(fd.as_fd()).source()?;
    if !item.follow && stat.kind() != sys::S_IFREG {
        return Ok(Seen::Otherwise);
    }
    if let Some(path) = item.path.filter(|_| stat.nlink > 1) {
        return with_links(job, worker, item, &stat, path, |worker| {
            copy_opened(job, worker, item, fd.as_fd(), &stat)
        });
    }
    copy_opened(job, worker, item, fd.as_fd(), &stat)?;
    Ok(Seen::Done)
}

/// Copy, or link to a copy that there is already.
fn with_links(
    job: &Job<'_>,
    worker: &mut Worker<'_>,
    item: &Item<'_>,
    stat: &Stat,
    path: &dyn Fn() -> Vec<u8>,
    copy: impl FnOnce(&mut Worker<'_>) -> Result<(u64, u64), Trouble>,
) -> Result<Seen, Trouble> {
    match job.links.claim(worker, stat.id())? {
        Claim::Mine(mine) => {
            let id = copy(worker)?;
            mine.settle(Copied { path: path(), id });
        }
        Claim::Have(copied) if link_to(job, item, &copied)? => {
            add(&job.control.counts.hard_links, 1);
        }
        // Gone, or it has as many names as it may have: a copy of its own.
        Claim::Have(_) => drop(copy(worker)?),
    }
    Ok(Seen::Done)
}

/// Give a copy one more name; false if that cannot be.
fn link_to(job: &Job<'_>, item: &Item<'_>, copied: &Copied) -> Result<bool, Trouble> {
    let Some((top, _)) = job.top.get() else { return Ok(false) };
    let Ok((dir, name)) = links::find(top.as_fd(), copied) else { return Ok(false) };
    let there = if item.fresh { None } else { item.to.existing()? };
    match there {
        Some(there) if there.id() == copied.id => return Ok(true),
        Some(there) if there.kind() == sys::S_IFDIR => return Ok(false), // the copy will say so
        _ => {}
    }
    if there.is_none() && sys::link_at(dir.as_fd(), &name, item.to.dir, item.to.name).is_ok() {
        return Ok(true);
    }
    let make = |temporary: &CStr| sys::link_at(dir.as_fd(), &name, item.to.dir, temporary);
    match Temporary::make(item.to, make) {
        Ok((temporary, ())) => temporary.commit().target().map(|()| true),
        Err(_) => Ok(false),
    }
}

fn copy_opened(
    job: &Job<'_>,
    worker: &mut Worker<'_>,
    item: &Item<'_>,
    from: std::os::fd::BorrowedFd<'_>,
    stat: &Stat,
) -> Result<(u64, u64), Trouble> {
    let plain = stat.kind() == sys::S_IFREG;
    let there = existing(item, stat)?;
    loop {
        let target = Target::begin(worker, &job.naming, item.to, there.as_ref(), plain, item.top)?;
        let (to, made) = (target.fd.as_fd(), &target.made);
        if plain && target.is_plain() {
            copy_data(worker, &job.ways, &Ends { from, stat, to, made })?;
        } else {
            copy_stream(worker, from, to)?;
        }
        if target.is_plain() {
            meta::copy_all(from, stat, to, made, item.inherited).target()?;
        }
        let id = made.id();
        if target.commit(&job.naming).target()? == Committed::Done {
            add(&job.control.counts.files, 1);
            return Ok(id);
        }
    }
}

fn copy_link(job: &Job<'_>, worker: &mut Worker<'_>, item: &Item<'_>) -> Result<Seen, Trouble> {
    let stat = sys::stat_at(item.from.dir, item.from.name, false).source()?;
    if stat.kind() != sys::S_IFLNK {
        return Ok(Seen::Otherwise);
    }
    match item.path.filter(|_| stat.nlink > 1) {
        Some(path) => with_links(job, worker, item, &stat, path, |_| make_link(job, item, &stat)),
        None => make_link(job, item, &stat).map(|_| Seen::Done),
    }
}

fn make_link(job: &Job<'_>, item: &Item<'_>, stat: &Stat) -> Result<(u64, u64), Trouble> {
    let mut room = [0_u8; 4097]; // the longest, and room for the zero
    let length = match sys::read_link_at(item.from.dir, item.from.name, &mut room[..4096]) {
        Err(Errno::EINVAL) => return Err(Errno::ESTALE).source(), // no link any more
        other => other.source()?,
    };
    let Ok(text) = CStr::from_bytes_until_nul(&room[..=length]) else {
        return Err(Errno::EINVAL).source();
    };
    let there = existing(item, stat)?;
    if there.is_some_and(|there| there.kind() == sys::S_IFDIR) {
        return refuse(Errno::EISDIR, Side::Target, "is a directory, where a link should go");
    }
    let make = |name: &CStr| sys::symlink_at(text, item.to.dir, name);
    let dress = |name: &CStr| {
        let (held, made) = hold(item.to.dir, name, stat)?;
        let held = held.as_fd();
        meta::give(stat, &made, |uid, gid| sys::set_owner_held(held, uid, gid))?;
        match sys::set_times_held(held, stat.atime, stat.mtime) {
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(made.id()),
            other => other.map(|()| made.id()),
        }
    };
    let id = make_whole(item, there.is_some(), make, dress).target()?;
    add(&job.control.counts.symlinks, 1);
    Ok(id)
}

/// Hold what was just made under a name, to give it owner, mode and times. By its name that would
/// be a race: who may write to the folder could put somebody else's file in its place meanwhile, to
/// be given what the source says. What has another type or another name besides is not ours.
fn hold(dir: BorrowedFd<'_>, name: &CStr, source: &Stat) -> Result<(OwnedFd, Stat), Errno> {
    let held = sys::open_at(dir, name, sys::O_PATH | sys::O_NOFOLLOW, 0)?;
    let made = sys::stat_fd(held.as_fd())?;
    let ours = made.nlink == 1 && made.kind() == source.kind() && made.rdev == source.rdev;
    if ours {
        Ok((held, made))
    } else {
        Err(Errno::ESTALE)
    }
}

/// Make something that is whole at once, and give it owner and times.
fn make_whole<T>(
    item: &Item<'_>,
    replaces: bool,
    make: impl Fn(&CStr) -> Result<(), Errno>,
    dress: impl Fn(&CStr) -> Result<T, Errno>,
) -> Result<T, Errno> {
    if !replaces {
        match make(item.to.name) {
            Ok(()) => return dress(item.to.name),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    let (temporary, ()) = Temporary::make(item.to, make)?;
    let told = dress(temporary.name())?;
    temporary.commit()?;
    Ok(told)
}

/// What is said of these where they are not wanted.
fn unwanted(kind: u32) -> &'static str {
    match kind {
        sys::S_IFIFO => "not copied: it is a named pipe",
        sys::S_IFSOCK => "not copied: it is a socket",
        sys::S_IFCHR => "not copied: it is a character device",
        sys::S_IFBLK => "not copied: it is a block device",
        _ => "not copied: it is a special file",
    }
}

fn copy_special(job: &Job<'_>, worker: &mut Worker<'_>, item: &Item<'_>) -> Result<Seen, Trouble> {
    let stat = sys::stat_at(item.from.dir, item.from.name, false).source()?;
    match stat.kind() {
        sys::S_IFREG | sys::S_IFLNK | sys::S_IFDIR => return Ok(Seen::Otherwise),
        kind if !job.options.specials => {
            return refuse(Errno::EOPNOTSUPP, Side::Source, unwanted(kind))
        }
        _ => {}
    }
    match item.path.filter(|_| stat.nlink > 1) {
        Some(path) => {
            with_links(job, worker, item, &stat, path, |_| make_special(job, item, &stat))
        }
        None => make_special(job, item, &stat).map(|_| Seen::Done),
    }
}

fn make_special(job: &Job<'_>, item: &Item<'_>, stat: &Stat) -> Result<(u64, u64), Trouble> {
    let there = existing(item, stat)?;
    if there.is_some_and(|there| there.kind() == sys::S_IFDIR) {
        return refuse(Errno::EISDIR, Side::Target, "is a directory, where a file should go");
    }
    let dir = item.to.dir;
    let make = |name: &CStr| sys::make_node_at(dir, name, stat.kind() | 0o600, stat.rdev);
    let dress = |name: &CStr| {
        let (held, made) = hold(dir, name, stat)?;
        let held = held.as_fd();
        let owner = meta::give(stat, &made, |uid, gid| sys::set_owner_held(held, uid, gid))?;
        sys::set_mode_held(held, meta::kept_mode(stat, owner))?;
        sys::set_times_held(held, stat.atime, stat.mtime)?;
        Ok(made.id())
    };
    // Always under another name first, so that it never has the wrong mode under its own.
    let id = make_whole(item, true, make, dress).target()?;
    add(&job.control.counts.specials, 1);
    Ok(id)
}
