//! The files of a job: opened when a range of theirs comes up, once more for direct I/O if that is
//! wanted, and closed after their last range.

use std::ffi::CString;

use crate::bulk::host::Host;
use crate::bulk::work::Work;
use crate::sys::direct::Alignment;
use crate::sys::errno::uninterrupted;
use crate::sys::os::{AT_FDCWD, O_DIRECT, O_NONBLOCK, O_RDWR, O_WRONLY};
use crate::sys::Errno;

/// Whether reads and writes go past the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direct {
    /// Where that is faster, and the file system can.
    Auto,
    /// All of them.
    Always,
    /// None.
    Never,
}

/// Where a file comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// To be opened.
    Path(CString),
    /// Open already; whoever made the job keeps it open.
    Fd(i32),
}

/// Blocks of direct I/O may be as large as this: larger ones are not worth it.
const BLOCK_MOST: u32 = 64 << 10;

const TYPE: u32 = 0o170_000;
const BLOCK_DEVICE: u32 = 0o060_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bypass {
    Unknown,
    Refused(Errno),
    Open { fd: i32, ours: bool, alignment: Alignment },
}

/// One file.
#[derive(Debug)]
pub(in crate::bulk) struct File {
    source: Source,
    /// -1: not open.
    pub(in crate::bulk) fd: i32,
    ours: bool,
    bypass: Bypass,
    refused: bool,
    /// Where it ends, as far as that is known.
    pub(in crate::bulk) size: u64,
    /// It has blocks on a device.
    pub(in crate::bulk) on_device: bool,
    /// Reading never waits for a device.
    pub(in crate::bulk) in_memory: bool,
    advised: bool,
    /// Ranges that have not come up yet, and requests that have not ended.
    pub(in crate::bulk) left: u32,
    pub(in crate::bulk) users: u32,
}

impl File {
    fn new(source: Source, left: u32) -> Self {
        File {
            source,
            fd: -1,
            ours: false,
            bypass: Bypass::Unknown,
            refused: false,
            size: u64::MAX,
            on_device: false,
            in_memory: false,
            advised: false,
            left,
            users: 0,
        }
    }

    fn open<H: Host>(&mut self, host: &H, flags: i32) -> Result<(), Errno> {
        (self.fd, self.ours) = match &self.source {
            Source::Fd(fd) => (*fd, false),
            Source::Path(path) => {
                // Without O_NONBLOCK, opening a FIFO would wait for somebody at its other end.
                let flags = flags | O_NONBLOCK;
                let work = Work::Open { dir: AT_FDCWD, path: path.as_ptr(), flags, mode: 0o666 };
                // SAFETY: the path lives as long as the file (I2).
                match unsafe { host.carry_out(&work) } {
                    fd @ 0.. => (fd, true),
                    error => return Err(Errno(-error)),
                }
            }
        };
        let status = uninterrupted(|| host.status(self.fd))?;
        if status.is_directory() {
            return Err(Errno::EISDIR);
        }
        self.on_device = status.is_regular() || status.mode & TYPE == BLOCK_DEVICE;
        if status.is_regular() {
            self.size = status.size;
            self.in_memory = host.in_memory(self.fd);
        }
        if !self.ours && host.status_flags(self.fd).is_ok_and(|flags| flags & O_DIRECT != 0) {
            // Without a second descriptor, the caller's is good for direct I/O only.
            self.bypass = self.try_direct(host).unwrap_or_else(Bypass::Refused);
        }
        Ok(())
    }

    /// The descriptor for direct I/O, and what that needs. An error: it is refused here.
    pub(in crate::bulk) fn direct<H: Host>(&mut self, host: &H) -> Result<(i32, Alignment), Errno> {
        if self.bypass == Bypass::Unknown {
            self.bypass = self.try_direct(host).unwrap_or_else(Bypass::Refused);
        }
        match self.bypass {
            Bypass::Open { .. } if self.refused => Err(Errno::EINVAL),
            Bypass::Open { fd, alignment, .. } => Ok((fd, alignment)),
            Bypass::Refused(errno) => Err(errno),
            Bypass::Unknown => Err(Errno::EINVAL),
        }
    }

    fn try_direct<H: Host>(&mut self, host: &H) -> Result<Bypass, Errno> {
        if !self.on_device {
            return Err(Errno::EINVAL);
        }
        let alignment = host.direct_alignment(self.fd);
        let alignment =
            alignment.filter(|found| found.offset <= BLOCK_MOST).ok_or(Errno::EINVAL)?;
        let flags = host.status_flags(self.fd)?;
        let access = flags & (O_WRONLY | O_RDWR);
        if flags & O_DIRECT == 0 {
            let fd = host.reopen(self.fd, access | O_DIRECT)?;
            return Ok(Bypass::Open { fd, ours: true, alignment });
        }
        // The caller's own is for direct I/O: it serves for that, and another one for the rest.
        let direct = Bypass::Open { fd: self.fd, ours: self.ours, alignment };
        (self.fd, self.ours) = (host.reopen(self.fd, access)?, true);
        Ok(direct)
    }

    /// Direct I/O was refused by a read or write. Its descriptor stays open: others may be on it.
    pub(in crate::bulk) fn refuse_direct(&mut self) {
        self.refused = true;
    }

    /// The descriptor for direct I/O, once [`File::direct`] has found one.
    pub(in crate::bulk) fn direct_fd(&self) -> i32 {
        match self.bypass {
            Bypass::Open { fd, .. } => fd,
            _ => self.fd,
        }
    }

    /// Small reads here and there: no reading ahead on a descriptor of ours.
    pub(in crate::bulk) fn advise<H: Host>(&mut self, host: &H) {
        if !self.advised && self.ours {
            host.advise_random(self.fd);
        }
        self.advised = true;
    }

    fn close<H: Host>(&mut self, host: &H) {
        if let Bypass::Open { fd, ours: true, .. } = self.bypass {
            // SAFETY: opened above, and nothing is under way on it: `users` is 0 (I10).
            unsafe { host.drop_fd(fd) };
        }
        if self.ours {
            // SAFETY: as above.
            unsafe { host.drop_fd(self.fd) };
        }
        (self.fd, self.ours, self.bypass) = (-1, false, Bypass::Unknown);
    }
}

/// All files of a job.
#[derive(Debug)]
pub(in crate::bulk) struct Files<H: Host> {
    host: H,
    files: Vec<File>,
    /// `O_*` that paths are opened with.
    flags: i32,
}

impl<H: Host> Files<H> {
    /// `left[i]` ranges are in file `i`.
    pub(in crate::bulk) fn new(host: H, sources: Vec<Source>, left: &[u32], flags: i32) -> Self {
        let files = sources.into_iter().zip(left).map(|(source, left)| File::new(source, *left));
        Files { host, files: files.collect(), flags }
    }

    pub(in crate::bulk) fn len(&self) -> u32 {
        self.files.len() as u32
    }

    #[inline]
    pub(in crate::bulk) fn at(&mut self, file: u32) -> &mut File {
        &mut self.files[file as usize]
    }

    /// Open it, unless it is.
    #[inline]
    pub(in crate::bulk) fn ready(&mut self, file: u32) -> Result<&mut File, Errno> {
        if self.files[file as usize].fd < 0 {
            self.open(file)?;
        }
        Ok(&mut self.files[file as usize])
    }

    #[cold]
    fn open(&mut self, file: u32) -> Result<(), Errno> {
        let mut opened = self.files[file as usize].open(&self.host, self.flags);
        if matches!(opened, Err(Errno::EMFILE | Errno::ENFILE)) && self.close_idle() {
            opened = self.files[file as usize].open(&self.host, self.flags);
        }
        if opened.is_err() {
            self.files[file as usize].close(&self.host);
        }
        opened
    }

    /// Close what nothing is under way on; it is opened again when its next range comes up.
    fn close_idle(&mut self) -> bool {
        let mut some = false;
        for file in self.files.iter_mut().filter(|file| file.users == 0 && file.fd >= 0) {
            some |= file.ours;
            file.close(&self.host);
        }
        some
    }

    /// A range has come up for the last time: all of it is with the system, or done.
    pub(in crate::bulk) fn row_passed(&mut self, file: u32) {
        let file = &mut self.files[file as usize];
        file.left -= 1;
        if file.left == 0 && file.users == 0 {
            file.close(&self.host);
        }
    }

    /// A request on it has ended.
    pub(in crate::bulk) fn request_ended(&mut self, file: u32) {
        let file = &mut self.files[file as usize];
        file.users -= 1;
        if file.left == 0 && file.users == 0 {
            file.close(&self.host);
        }
    }
}

impl<H: Host> Drop for Files<H> {
    fn drop(&mut self) {
        // Requests under way hold their files themselves, in the kernel; what threads do on them
        // ends before this (the job is dropped first).
        for file in &mut self.files {
            file.close(&self.host);
        }
    }
}
