//! Many operations of one kind, described by columns: one submission entry per row.

use crate::ops::entry;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

/// One value for all rows, or one for each.
#[derive(Clone, Debug)]
pub enum Column<T> {
    /// The same everywhere.
    Same(T),
    /// Row by row.
    Each(Vec<T>),
}

impl<T: Copy> Column<T> {
    /// The value of a row.
    #[inline(always)]
    pub fn at(&self, row: u32) -> T {
        match self {
            Column::Same(value) => *value,
            Column::Each(values) => values[row as usize],
        }
    }

    /// Each value turned into another, up to the first error.
    pub fn try_map<U, E>(self, one: impl Fn(T) -> Result<U, E>) -> Result<Column<U>, E> {
        Ok(match self {
            Column::Same(value) => Column::Same(one(value)?),
            Column::Each(values) => {
                Column::Each(values.into_iter().map(one).collect::<Result<_, E>>()?)
            }
        })
    }

    /// How many rows it has; None for any number.
    pub fn rows(&self) -> Option<usize> {
        match self {
            Column::Same(_) => None,
            Column::Each(values) => Some(values.len()),
        }
    }
}

/// Where the rows' memory is.
#[derive(Clone, Debug)]
pub enum Place {
    /// One buffer, cut into equal pieces.
    Pieces {
        /// Address of the first.
        base: u64,
        /// From one to the next.
        stride: u64,
    },
    /// A buffer for each row.
    Each(Vec<u64>),
}

/// Which operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Nothing.
    Nop,
    /// Read into the rows' memory.
    Read,
    /// Write from the rows' memory.
    Write,
}

/// All rows of a batch.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The operation.
    pub what: What,
    /// How many rows.
    pub count: u32,
    /// Files.
    pub fds: Column<i32>,
    /// Offsets in the files; -1 is a file's own position.
    pub offsets: Column<i64>,
    /// Bytes to transfer.
    pub lengths: Column<u32>,
    /// Memory.
    pub place: Place,
    /// The registered buffer that the memory lies in.
    pub buf_index: Option<u16>,
    /// IOSQE_* flags of every row.
    pub flags: u8,
}

impl Rows {
    /// `count` rows that do nothing.
    pub fn nops(count: u32, flags: u8) -> Self {
        Rows {
            what: What::Nop,
            count,
            fds: Column::Same(-1),
            offsets: Column::Same(0),
            lengths: Column::Same(0),
            place: Place::Pieces { base: 0, stride: 0 },
            buf_index: None,
            flags,
        }
    }

    /// What makes the entries of the rows, but for their `user_data`.
    #[inline(always)]
    pub fn entries(&self) -> impl Fn(u32) -> io_uring_sqe + '_ {
        let template = self.template();
        move |row| self.entry(&template, row)
    }

    /// What the entries of all rows have in common.
    fn template(&self) -> io_uring_sqe {
        let opcode = match (self.what, self.buf_index) {
            (What::Nop, _) => IORING_OP_NOP,
            (What::Read, None) => IORING_OP_READ,
            (What::Read, Some(_)) => IORING_OP_READ_FIXED,
            (What::Write, None) => IORING_OP_WRITE,
            (What::Write, Some(_)) => IORING_OP_WRITE_FIXED,
        };
        io_uring_sqe {
            flags: self.flags,
            buf_index: self.buf_index.unwrap_or(0),
            ..entry(opcode, -1)
        }
    }

    #[inline(always)]
    fn entry(&self, template: &io_uring_sqe, row: u32) -> io_uring_sqe {
        if self.what == What::Nop {
            return *template;
        }
        let addr = match &self.place {
            Place::Pieces { base, stride } => base + stride * u64::from(row),
            Place::Each(addresses) => addresses[row as usize],
        };
        let offset = self.offsets.at(row);
        io_uring_sqe {
            addr,
            len: self.lengths.at(row),
            // A negative one can only be -1, and its bits are those of CURRENT_POSITION.
            off: offset as u64,
            fd: self.fds.at(row),
            ..*template
        }
    }

    /// Bytes all rows together transfer.
    pub fn bytes(&self) -> u64 {
        match &self.lengths {
            Column::Same(len) => u64::from(*len) * u64::from(self.count),
            Column::Each(lengths) => lengths.iter().map(|len| u64::from(*len)).sum(),
        }
    }
}
