//! Error numbers, as system calls and completions report them.

use core::fmt;

/// An error number: positive, as in errno(3). A completion's result holds it negated.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

/// Do it until no signal comes between.
pub fn uninterrupted<T>(mut what: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match what() {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}

/// Declare the numbers with their texts. The numbers come from the C library: they differ between
/// architectures.
macro_rules! errnos {
    ($( $name:ident = $text:literal; )*) => {
        #[allow(missing_docs)] // the texts say what the documentation would
        impl Errno {
            $( #[doc = $text] pub const $name: Errno = Errno(libc::$name); )*
        }

        static NAMES: &[(i32, &str, &str)] = &[$( (libc::$name, stringify!($name), $text), )*];
    };
}

errnos! {
    EPERM = "Operation not permitted";
    ENOENT = "No such file or directory";
    ESRCH = "No such process";
    EINTR = "Interrupted system call";
    EIO = "Input/output error";
    ENXIO = "No such device or address";
    E2BIG = "Argument list too long";
    ENOEXEC = "Exec format error";
    EBADF = "Bad file descriptor";
    ECHILD = "No child processes";
    EAGAIN = "Resource temporarily unavailable";
    ENOMEM = "Cannot allocate memory";
    EACCES = "Permission denied";
    EFAULT = "Bad address";
    ENOTBLK = "Block device required";
    EBUSY = "Device or resource busy";
    EEXIST = "File exists";
    EXDEV = "Invalid cross-device link";
    ENODEV = "No such device";
    ENOTDIR = "Not a directory";
    EISDIR = "Is a directory";
    EINVAL = "Invalid argument";
    ENFILE = "Too many open files in system";
    EMFILE = "Too many open files";
    ENOTTY = "Inappropriate ioctl for device";
    ETXTBSY = "Text file busy";
    EFBIG = "File too large";
    ENOSPC = "No space left on device";
    ESPIPE = "Illegal seek";
    EROFS = "Read-only file system";
    EMLINK = "Too many links";
    EPIPE = "Broken pipe";
    EDOM = "Numerical argument out of domain";
    ERANGE = "Numerical result out of range";
    EDEADLK = "Resource deadlock avoided";
    ENAMETOOLONG = "File name too long";
    ENOLCK = "No locks available";
    ENOSYS = "Function not implemented";
    ENOTEMPTY = "Directory not empty";
    ELOOP = "Too many levels of symbolic links";
    ENOMSG = "No message of desired type";
    EIDRM = "Identifier removed";
    ECHRNG = "Channel number out of range";
    EL2NSYNC = "Level 2 not synchronized";
    EL3HLT = "Level 3 halted";
    EL3RST = "Level 3 reset";
    ELNRNG = "Link number out of range";
    EUNATCH = "Protocol driver not attached";
    ENOCSI = "No CSI structure available";
    EL2HLT = "Level 2 halted";
    EBADE = "Invalid exchange";
    EBADR = "Invalid request descriptor";
    EXFULL = "Exchange full";
    ENOANO = "No anode";
    EBADRQC = "Invalid request code";
    EBADSLT = "Invalid slot";
    EBFONT = "Bad font file format";
    ENOSTR = "Device not a stream";
    ENODATA = "No data available";
    ETIME = "Timer expired";
    ENOSR = "Out of streams resources";
    ENONET = "Machine is not on the network";
    ENOPKG = "Package not installed";
    EREMOTE = "Object is remote";
    ENOLINK = "Link has been severed";
    EADV = "Advertise error";
    ESRMNT = "Srmount error";
    ECOMM = "Communication error on send";
    EPROTO = "Protocol error";
    EMULTIHOP = "Multihop attempted";
    EDOTDOT = "RFS specific error";
    EBADMSG = "Bad message";
    EOVERFLOW = "Value too large for defined data type";
    ENOTUNIQ = "Name not unique on network";
    EBADFD = "File descriptor in bad state";
    EREMCHG = "Remote address changed";
    ELIBACC = "Can not access a needed shared library";
    ELIBBAD = "Accessing a corrupted shared library";
    ELIBSCN = ".lib section in a.out corrupted";
    ELIBMAX = "Attempting to link in too many shared libraries";
    ELIBEXEC = "Cannot exec a shared library directly";
    EILSEQ = "Invalid or incomplete multibyte or wide character";
    ERESTART = "Interrupted system call should be restarted";
    ESTRPIPE = "Streams pipe error";
    EUSERS = "Too many users";
    ENOTSOCK = "Socket operation on non-socket";
    EDESTADDRREQ = "Destination address required";
    EMSGSIZE = "Message too long";
    EPROTOTYPE = "Protocol wrong type for socket";
    ENOPROTOOPT = "Protocol not available";
    EPROTONOSUPPORT = "Protocol not supported";
    ESOCKTNOSUPPORT = "Socket type not supported";
    EOPNOTSUPP = "Operation not supported";
    EPFNOSUPPORT = "Protocol family not supported";
    EAFNOSUPPORT = "Address family not supported by protocol";
    EADDRINUSE = "Address already in use";
    EADDRNOTAVAIL = "Cannot assign requested address";
    ENETDOWN = "Network is down";
    ENETUNREACH = "Network is unreachable";
    ENETRESET = "Network dropped connection on reset";
    ECONNABORTED = "Software caused connection abort";
    ECONNRESET = "Connection reset by peer";
    ENOBUFS = "No buffer space available";
    EISCONN = "Transport endpoint is already connected";
    ENOTCONN = "Transport endpoint is not connected";
    ESHUTDOWN = "Cannot send after transport endpoint shutdown";
    ETOOMANYREFS = "Too many references: cannot splice";
    ETIMEDOUT = "Connection timed out";
    ECONNREFUSED = "Connection refused";
    EHOSTDOWN = "Host is down";
    EHOSTUNREACH = "No route to host";
    EALREADY = "Operation already in progress";
    EINPROGRESS = "Operation now in progress";
    ESTALE = "Stale file handle";
    EUCLEAN = "Structure needs cleaning";
    ENOTNAM = "Not a XENIX named type file";
    ENAVAIL = "No XENIX semaphores available";
    EISNAM = "Is a named type file";
    EREMOTEIO = "Remote I/O error";
    EDQUOT = "Disk quota exceeded";
    ENOMEDIUM = "No medium found";
    EMEDIUMTYPE = "Wrong medium type";
    ECANCELED = "Operation canceled";
    ENOKEY = "Required key not available";
    EKEYEXPIRED = "Key has expired";
    EKEYREVOKED = "Key has been revoked";
    EKEYREJECTED = "Key was rejected by service";
    EOWNERDEAD = "Owner died";
    ENOTRECOVERABLE = "State not recoverable";
    ERFKILL = "Operation not possible due to RF-kill";
    EHWPOISON = "Memory page has hardware error";
}

/// By these the kernel tells itself to begin a call anew. They are not meant to be seen outside, but
/// a SPLICE that is cancelled while it waits completes with the first (measured).
static RESTARTS: [(i32, &str); 4] = [
    (512, "ERESTARTSYS"),
    (513, "ERESTARTNOINTR"),
    (514, "ERESTARTNOHAND"),
    (516, "ERESTART_RESTARTBLOCK"),
];

impl Errno {
    /// The calling thread's errno.
    #[inline]
    pub fn last() -> Errno {
        // SAFETY: the C library gives the address of a word that lives as long as the thread; no
        // memory of a request is concerned (I5).
        Errno(unsafe { *libc::__errno_location() })
    }

    /// The error in a completion's result, or in what a raw system call returned.
    #[inline]
    pub fn from_result(result: i32) -> Option<Errno> {
        (result < 0).then(|| Errno(result.wrapping_neg()))
    }

    /// The name, as "EAGAIN"; "E?" for a number that has none.
    pub fn name(self) -> &'static str {
        let restart = || RESTARTS.iter().find(|entry| entry.0 == self.0);
        self.entry().map(|entry| entry.1).or_else(|| restart().map(|entry| entry.1)).unwrap_or("E?")
    }

    /// The error as a system call would show it: a restart that nobody makes is an interruption.
    pub fn outside(self) -> Errno {
        let restart = RESTARTS.iter().any(|entry| entry.0 == self.0);
        if restart {
            Errno::EINTR
        } else {
            self
        }
    }

    /// What the C library says of it in the C locale.
    pub fn message(self) -> &'static str {
        self.entry().map_or("Unknown error", |entry| entry.2)
    }

    /// The number that has this name, if there is one.
    pub fn by_name(name: &str) -> Option<Errno> {
        NAMES.iter().find(|entry| entry.1 == name).map(|entry| Errno(entry.0))
    }

    fn entry(self) -> Option<&'static (i32, &'static str, &'static str)> {
        NAMES.iter().find(|entry| entry.0 == self.0)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name(), self.0, self.message())
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl std::error::Error for Errno {}

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        std::io::Error::from_raw_os_error(errno.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Errno, NAMES};

    #[test]
    fn numbers_and_names_are_unique() {
        for (index, entry) in NAMES.iter().enumerate() {
            for other in &NAMES[index + 1..] {
                assert_ne!(entry.0, other.0, "{} and {}", entry.1, other.1);
                assert_ne!(entry.1, other.1);
            }
        }
    }

    #[test]
    fn display_names_the_error() {
        assert_eq!(Errno::EAGAIN.to_string(), "EAGAIN (11): Resource temporarily unavailable");
        assert_eq!(Errno(4095).to_string(), "E? (4095): Unknown error");
        assert_eq!(Errno::from_result(-libc::EBADF), Some(Errno::EBADF));
        assert_eq!(Errno(512).to_string(), "ERESTARTSYS (512): Unknown error");
        assert_eq!(Errno(512).outside(), Errno::EINTR);
        assert_eq!(Errno::EAGAIN.outside(), Errno::EAGAIN);
        assert_eq!(Errno::from_result(0), None);
        assert_eq!(Errno::by_name("ECANCELED"), Some(Errno::ECANCELED));
    }

    #[test]
    fn texts_are_those_of_the_c_library() {
        for &(number, name, text) in NAMES {
            let theirs = std::io::Error::from_raw_os_error(number).to_string();
            // musl words some of them differently; glibc is what the table was written from.
            if cfg!(target_env = "gnu") {
                assert_eq!(theirs, format!("{text} (os error {number})"), "{name}");
            }
        }
    }
}
