//! Owner, extended attributes, mode and times: what `cp -a` keeps besides the bytes.

use core::ffi::CStr;
use std::os::fd::BorrowedFd;

use crate::sys::tree::{self as sys, Stat};
use crate::sys::Errno;

/// The default access list of a folder, which what is made in it gets.
const DEFAULT_ACL: &CStr = c"system.posix_acl_default";
const ACCESS_ACL: &CStr = c"system.posix_acl_access";
/// The most that Linux lets an attribute, or a list of them, have.
const MOST: usize = 64 << 10;

/// Whether what is made in this folder gets an access list that nobody copied.
pub fn has_default_acl(dir: BorrowedFd<'_>) -> bool {
    matches!(sys::get_attribute(dir, DEFAULT_ACL, &mut []), Ok(length) if length > 0)
}

/// The permission bits of a copy: no privilege of another owner than the one it was given by.
pub fn kept_mode(source: &Stat, owner: (u32, u32)) -> u32 {
    let mut mode = source.mode & 0o7777;
    if source.uid != owner.0 {
        mode &= !sys::S_ISUID;
    }
    if source.gid != owner.1 {
        mode &= !sys::S_ISGID;
    }
    mode
}

/// Owner and group as far as this process may give them: who has it now. `set` changes them.
pub fn give(
    source: &Stat,
    made: &Stat,
    set: impl Fn(Option<u32>, u32) -> Result<(), Errno>,
) -> Result<(u32, u32), Errno> {
    if (source.uid, source.gid) == (made.uid, made.gid) {
        return Ok((made.uid, made.gid));
    }
    match set(Some(source.uid), source.gid) {
        Ok(()) => return Ok((source.uid, source.gid)),
        Err(errno) if !not_permitted(errno) => return Err(errno),
        Err(_) => {}
    }
    // To whom it belongs is not ours to say, but the group may be one of ours.
    if source.gid == made.gid {
        return Ok((made.uid, made.gid));
    }
    match set(None, source.gid) {
        Ok(()) => Ok((made.uid, source.gid)),
        Err(errno) if !not_permitted(errno) => Err(errno),
        Err(_) => Ok((made.uid, made.gid)),
    }
}

/// EINVAL is what an owner that a user namespace does not know gives.
fn not_permitted(errno: Errno) -> bool {
    matches!(errno, Errno::EPERM | Errno::EACCES | Errno::EINVAL | Errno::EOPNOTSUPP)
}

/// All of it, on an open file or folder. `inherited` says that it may have got an access list from
/// the folder it was made in.
pub fn copy_all(
    from: BorrowedFd<'_>,
    source: &Stat,
    to: BorrowedFd<'_>,
    made: &Stat,
    inherited: bool,
) -> Result<(), Errno> {
    let owner = give(source, made, |uid, gid| sys::set_owner(to, uid, gid))?;
    if inherited {
        // One without a list needs none taken away: whatever this says, the mode comes after it.
        let _ = sys::remove_attribute(to, ACCESS_ACL);
        if source.kind() == sys::S_IFDIR {
            let _ = sys::remove_attribute(to, DEFAULT_ACL);
        }
    }
    copy_attributes(from, to)?;
    sys::set_mode(to, kept_mode(source, owner))?;
    sys::set_times(to, source.atime, source.mtime)
}

/// Every attribute that the file system of the copy takes and that this process may set.
fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    match sys::list_attributes(from, &mut []) {
        Ok(0) => return Ok(()),
        Ok(_) => {}
        Err(errno) if is_unsupported(errno) => return Ok(()),
        Err(errno) => return Err(errno),
    }
    let (mut names, mut value) = (vec![0; MOST], vec![0; MOST]);
    let length = sys::list_attributes(from, &mut names)?;
    for name in names[..length].split_inclusive(|&byte| byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        let length = match sys::get_attribute(from, name, &mut value) {
            Ok(length) => length,
            // Taken away since the list was made, or not for us to see.
            Err(Errno::ENODATA | Errno::EPERM | Errno::EACCES) => continue,
            Err(errno) if is_unsupported(errno) => continue,
            Err(errno) => return Err(errno),
        };
        match sys::set_attribute(to, name, &value[..length]) {
            Ok(()) | Err(Errno::EPERM | Errno::EACCES | Errno::EINVAL) => {}
            Err(errno) if is_unsupported(errno) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn is_unsupported(errno: Errno) -> bool {
    matches!(errno, Errno::EOPNOTSUPP | Errno::ENOSYS)
}
