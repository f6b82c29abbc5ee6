//! Which ranges of which files, and where in memory they go: columns, no object for each.

use crate::ops::batch::{Column, Place};

/// Ranges by their number.
#[derive(Debug)]
pub struct Rows {
    count: u32,
    files: Column<u32>,
    offsets: Column<i64>,
    sizes: Column<i64>,
    place: Place,
}

/// One range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its file's number.
    pub file: u32,
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes.
    pub size: u64,
    /// Where they are in memory.
    pub addr: u64,
}

impl Rows {
    /// Ranges `0..count`. Every column must have so many rows, if it has one for each, and none may
    /// be negative or reach beyond what an offset can say: else the first such range is returned.
    pub fn new(
        count: u32,
        files: Column<u32>,
        offsets: Column<i64>,
        sizes: Column<i64>,
        place: Place,
    ) -> Result<Self, u32> {
        for row in 0..count {
            let (offset, size) = (offsets.at(row), sizes.at(row));
            if offset < 0 || size < 0 || offset.checked_add(size).is_none() {
                return Err(row);
            }
        }
        Ok(Rows { count, files, offsets, sizes, place })
    }

    /// How many.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// A range.
    #[inline]
    pub fn row(&self, row: u32) -> Row {
        Row {
            file: self.files.at(row),
            offset: self.offsets.at(row) as u64,
            size: self.sizes.at(row) as u64,
            addr: match &self.place {
                Place::Pieces { base, stride } => base + stride * u64::from(row),
                Place::Each(places) => places[row as usize],
            },
        }
    }

    /// The sizes asked for, one for each range.
    pub fn sizes(&self) -> Vec<i64> {
        match &self.sizes {
            Column::Same(size) => vec![*size; self.count as usize],
            Column::Each(sizes) => sizes.clone(),
        }
    }

    /// Two ranges of one file that have bytes in common, if there are any.
    pub fn overlap(&self) -> Option<(u32, u32)> {
        let key = |row: u32| {
            let Row { file, offset, .. } = self.row(row);
            (file, offset)
        };
        let mut order: Vec<u32> = (0..self.count).filter(|row| self.sizes.at(*row) > 0).collect();
        if !order.is_sorted_by_key(|row| key(*row)) {
            order.sort_unstable_by_key(|row| key(*row));
        }
        order.windows(2).find_map(|pair| {
            let (first, second) = (self.row(pair[0]), self.row(pair[1]));
            let overlap = first.file == second.file && first.offset + first.size > second.offset;
            overlap.then_some((pair[0].min(pair[1]), pair[0].max(pair[1])))
        })
    }

    /// Ranges of each of `files` files.
    pub fn per_file(&self, files: usize) -> Vec<u32> {
        let mut counts = vec![0; files];
        match &self.files {
            Column::Same(file) => counts[*file as usize] = self.count,
            Column::Each(each) => each.iter().for_each(|file| counts[*file as usize] += 1),
        }
        counts
    }

    /// How many pieces of at most `piece` bytes there are, counted up to `enough`.
    pub fn pieces(&self, piece: u64, enough: u32) -> u32 {
        let mut found = 0u64;
        for row in 0..self.count {
            found += self.row(row).size.div_ceil(piece);
            if found >= u64::from(enough) {
                return enough;
            }
        }
        found as u32
    }
}
