//! The constants of `linux/io_uring.h` (Linux 6.18), under their C names, and those of other headers
//! that its operations take.
//!
//! Each has the type of the field it goes into: `u32` mostly, `u8` for `IOSQE_*` and
//! `IORING_OP_*`, `u16` for flags kept in `io_uring_sqe::ioprio`, `u64` for offsets of mmap(2).
//! [`all`] lists them by name for the comparison with the kernel's own header.

mod file;
mod op;
mod register;
mod request;
mod ring;

pub use file::*;
pub use op::*;
pub use register::*;
pub use request::*;
pub use ring::*;

/// A constant and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constant {
    /// The name in the header.
    pub name: &'static str,
    /// The value, wide enough for every type.
    pub value: i128,
    /// What it means.
    pub doc: &'static str,
}

/// Declare documented constants and a table of them.
macro_rules! constants {
    ($table:ident: $( $name:ident: $type:ty = $value:expr, $doc:literal; )*) => {
        $( #[doc = $doc] pub const $name: $type = $value; )*
        pub(super) static $table: &[super::Constant] = &[
            $( super::Constant {
                name: stringify!($name),
                value: $name as i128,
                doc: $doc,
            }, )*
        ];
    };
}
use constants;

/// Every constant of this module.
pub fn all() -> impl Iterator<Item = &'static Constant> {
    [file::TABLE, op::TABLE, register::TABLE, request::TABLE, ring::TABLE].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::all;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = all().map(|constant| constant.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(count > 240, "{count} constants");
    }
}
