//! A file under a name of its own until it is whole: written beside its place, then renamed.

use std::ffi::CString;
use std::hash::{BuildHasher, Hasher};

use crate::bulk::directories::{split, Directories};
use crate::bulk::store::Store;
use crate::bulk::work::Work;
use crate::sys::errno::uninterrupted;
use crate::sys::file::Entry;
use crate::sys::os::{O_CREAT, O_EXCL, O_WRONLY};
use crate::sys::Errno;

/// How new files are to be made.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Permissions of files that replace none, less the process's umask.
    pub mode: u32,
    /// Replace what is there?
    pub over: bool,
    /// `O_*` besides those that are needed.
    pub flags: i32,
}

/// Longest file name (NAME_MAX).
const NAME_MAX: usize = 255;
/// What temporary names end with, and how many characters are chosen at random before it.
const END: &[u8] = b".uring_rs";
const CHOSEN: usize = 6;
/// So many names are tried.
const TRIES: u32 = 100;

/// Chooses temporary names.
pub struct Names(u64);

impl Names {
    /// Begins anywhere.
    pub fn new() -> Self {
        Names(std::hash::RandomState::new().build_hasher().finish())
    }

    fn next(&mut self) -> [u8; CHOSEN] {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        // Another one each time, and none that a neighbour in time has.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let mut bits = self.0 >> 32;
        core::array::from_fn(|_| {
            let letter = LETTERS[(bits & 31) as usize];
            bits >>= 5;
            letter
        })
    }

    /// `.NAME.XXXXXX.uring_rs`, with as much of NAME as there is room for.
    fn beside(&mut self, name: &[u8], most: usize) -> CString {
        let room = most - 2 - CHOSEN - END.len();
        let mut all = vec![b'.'];
        all.extend(&name[..name.len().min(room)]);
        all.push(b'.');
        all.extend(self.next());
        all.extend(END);
        CString::new(all).unwrap_or_default()
    }
}

impl Default for Names {
    fn default() -> Self {
        Names::new()
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct NewFile {
    dir: usize,
    name: CString,
    temp: CString,
    fd: i32,
    over: bool,
}

impl NewFile {
    /// Make it. Nothing stands under the path yet, or the old file still does.
    pub fn create<H: Store>(
        host: &H,
        dirs: &mut Directories<H>,
        names: &mut Names,
        path: &[u8],
        how: How,
    ) -> Result<Self, Errno> {
        let (dir, name) = split(path);
        if matches!(name, b"" | b"." | b"..") {
            return Err(if path.is_empty() { Errno::ENOENT } else { Errno::EISDIR });
        }
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let dir = dirs.enter(dir)?;
        let made = make(host, dirs.fd(dir), &name, names, how);
        match made {
            Ok((temp, fd)) => Ok(NewFile { dir, name, temp, fd, over: how.over }),
            Err(errno) => {
                dirs.leave(dir, false);
                Err(errno)
            }
        }
    }

    /// The open file.
    pub fn fd(&self) -> i32 {
        self.fd
    }

    /// Which directory, and which name: two with the same replace each other.
    pub fn place(&self) -> (usize, &CString) {
        (self.dir, &self.name)
    }

    /// It is whole: close it and give it its name.
    pub fn finish<H: Store>(self, host: &H, dirs: &mut Directories<H>) -> Result<(), Errno> {
        // SAFETY: its own descriptor, closed once: `self` is taken (I10).
        let closed = unsafe { host.carry_out(&Work::Close { fd: self.fd }) };
        let dir = dirs.fd(self.dir);
        // A write may have failed late, and only closing tells (NFS, quotas).
        let done = match closed {
            0.. => self.rename(host, dir),
            errno => Err(Errno(-errno)),
        };
        if done.is_err() {
            self.unlink(host, dir);
        }
        dirs.leave(self.dir, done.is_ok());
        done
    }

    fn rename<H: Store>(&self, host: &H, dir: i32) -> Result<(), Errno> {
        let mut cut = false;
        loop {
            match host.rename(dir, &self.temp, &self.name, self.over) {
                Err(Errno::EINTR) => cut = true,
                // The call that was cut short had done it.
                Err(Errno::ENOENT) if cut => return Ok(()),
                done => return done,
            }
        }
    }

    fn unlink<H: Store>(&self, host: &H, dir: i32) {
        // There is nobody to tell of a failure: the error that led here says more.
        let _ = uninterrupted(|| host.unlink(dir, &self.temp));
    }

    /// It will not be whole: nothing stays of it.
    pub fn abandon<H: Store>(self, host: &H, dirs: &mut Directories<H>) {
        self.disown(host, dirs);
        self.forget(host, dirs);
    }

    /// It will not be whole: its name goes at once, its descriptor later, by [`NewFile::forget`], when
    /// nothing is written to it any more.
    pub fn disown<H: Store>(&self, host: &H, dirs: &Directories<H>) {
        self.unlink(host, dirs.fd(self.dir));
    }

    /// Close it. Its name is gone, or, in a forked child, the parent's.
    pub fn forget<H: Store>(self, host: &H, dirs: &mut Directories<H>) {
        // SAFETY: its own descriptor, closed once: `self` is taken (I10).
        unsafe { host.drop_fd(self.fd) };
        dirs.leave(self.dir, false);
    }
}

/// What is there now, that would be replaced; None: nothing, or a symbolic link.
fn replaced<H: Store>(
    host: &H,
    dir: i32,
    name: &CString,
    over: bool,
) -> Result<Option<Entry>, Errno> {
    match uninterrupted(|| host.entry(dir, name)) {
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
        Ok(_) if !over => Err(Errno::EEXIST),
        Ok(found) if found.is_directory() => Err(Errno::EISDIR),
        Ok(found) if found.is_regular() => Ok(Some(found)),
        Ok(found) if found.is_link() => Ok(None),
        // Nobody who writes to a device or a pipe wants a file in its stead.
        Ok(_) => Err(Errno::EEXIST),
    }
}

/// The file under its temporary name, with the permissions of what it replaces.
fn make<H: Store>(
    host: &H,
    dir: i32,
    name: &CString,
    names: &mut Names,
    how: How,
) -> Result<(CString, i32), Errno> {
    let old = replaced(host, dir, name, how.over)?;
    // Never readable for more people than the file it replaces, not even for a moment: until it has
    // that one's owner and group, for nobody else.
    let mode = old.map_or(how.mode, |_| 0o600);
    let (temp, fd) = open_temporary(host, dir, name, names, how.flags, mode)?;
    let Some(old) = old else { return Ok((temp, fd)) };
    match uninterrupted(|| host.dress(fd, &old)) {
        Ok(()) => Ok((temp, fd)),
        Err(errno) => {
            // SAFETY: opened above, and used no more (I10).
            unsafe { host.drop_fd(fd) };
            let _ = uninterrupted(|| host.unlink(dir, &temp));
            Err(errno)
        }
    }
}

fn open_temporary<H: Store>(
    host: &H,
    dir: i32,
    name: &CString,
    names: &mut Names,
    flags: i32,
    mode: u32,
) -> Result<(CString, i32), Errno> {
    let mut most = NAME_MAX;
    for _ in 0..TRIES {
        let temp = names.beside(name.as_bytes(), most);
        let flags = O_WRONLY | O_CREAT | O_EXCL | flags;
        let work = Work::Open { dir, path: temp.as_ptr(), flags, mode };
        // SAFETY: the string lives for the call (I2).
        let result = unsafe { host.carry_out(&work) };
        match Errno(-result) {
            _ if result >= 0 => return Ok((temp, result)),
            Errno::EEXIST | Errno::EINTR => {}
            // A file system with shorter names than most.
            Errno::ENAMETOOLONG if most == NAME_MAX => most = name.as_bytes().len().max(20),
            Errno::EINVAL => {
                // Some make the file before they refuse direct I/O to it.
                let _ = uninterrupted(|| host.unlink(dir, &temp));
                return Err(Errno::EINVAL);
            }
            errno => return Err(errno),
        }
    }
    Err(Errno::EEXIST)
}
