//! Trees of files: what `uring_rs.tree` stands on.

mod copy;
mod host;
mod result;
mod stat;
pub(super) mod walk;

use pyo3::prelude::*;

pub(crate) fn install(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<walk::PyTreeWalk>()?;
    m.add_function(wrap_pyfunction!(copy::_copy, m)?)?;
    m.add_function(wrap_pyfunction!(stat::_stat_many, m)?)?;
    Ok(())
}
