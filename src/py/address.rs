//! Socket addresses in Python's form: `('127.0.0.1', 80)`, `('::1', 80, 0, 0)`, a path, bytes.

use std::net::{Ipv4Addr, Ipv6Addr};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::ops::address::{Address, SockAddr, UNIX_PATH_MAX};
use crate::sys::os::AF_INET6;

/// An address for the kernel. `socket` tells the family where a host name alone does not.
pub(crate) fn to_kernel(
    socket: &Bound<'_, PyAny>,
    address: &Bound<'_, PyAny>,
) -> PyResult<SockAddr> {
    if let Ok(parts) = address.cast::<PyTuple>() {
        return internet(socket, parts);
    }
    let name: Vec<u8> = if let Ok(bytes) = address.cast::<PyBytes>() {
        bytes.as_bytes().to_vec()
    } else if let Ok(text) = address.cast::<PyString>() {
        let encoded = text.call_method1("encode", ("utf-8", "surrogateescape"))?;
        encoded.cast::<PyBytes>()?.as_bytes().to_vec()
    } else {
        return Err(PyTypeError::new_err(
            "an address is (host, port), (host, port, flowinfo, scope_id), or a unix socket's path",
        ));
    };
    SockAddr::unix(&name).ok_or_else(|| {
        PyValueError::new_err(format!(
            "a unix socket's path has at most {} bytes",
            UNIX_PATH_MAX - 1
        ))
    })
}

fn internet(socket: &Bound<'_, PyAny>, parts: &Bound<'_, PyTuple>) -> PyResult<SockAddr> {
    if !(2..=4).contains(&parts.len()) {
        return Err(PyValueError::new_err("an internet address has 2 to 4 parts"));
    }
    let host: String = parts.get_item(0)?.extract()?;
    let port: i64 = parts.get_item(1)?.extract()?;
    let port = u16::try_from(port)
        .map_err(|_| pyo3::exceptions::PyOverflowError::new_err("port must be 0-65535"))?;
    let part = |at: usize| -> PyResult<u32> {
        if at < parts.len() {
            parts.get_item(at)?.extract()
        } else {
            Ok(0)
        }
    };
    let six = parts.len() > 2 || family(socket)? == Some(AF_INET6) || host.contains(':');
    if six {
        let ip = if host.is_empty() { Ok(Ipv6Addr::UNSPECIFIED) } else { host.parse() };
        let ip = ip.map_err(|_| not_numeric(&host))?;
        return Ok(SockAddr::v6(ip, port, part(2)?, part(3)?));
    }
    let ip = match host.as_str() {
        "" => Ok(Ipv4Addr::UNSPECIFIED),
        "<broadcast>" => Ok(Ipv4Addr::BROADCAST),
        host => host.parse(),
    };
    Ok(SockAddr::v4(ip.map_err(|_| not_numeric(&host))?, port))
}

/// The family of a socket object; None for a bare descriptor.
fn family(socket: &Bound<'_, PyAny>) -> PyResult<Option<i32>> {
    match socket.getattr_opt("family")? {
        Some(family) => Ok(family.extract().ok()),
        None => Ok(None),
    }
}

fn not_numeric(host: &str) -> PyErr {
    PyValueError::new_err(format!(
        "{host:?} is not a numeric address: resolve names first, with socket.getaddrinfo"
    ))
}

/// An address as Python's `socket` gives it.
pub(crate) fn to_python(py: Python<'_>, address: &SockAddr) -> PyResult<Py<PyAny>> {
    Ok(match address.decode() {
        Address::None => py.None(),
        Address::V4(ip, port) => (ip.to_string(), port).into_pyobject(py)?.into_any().unbind(),
        Address::V6(ip, port, flow, scope) => {
            (ip.to_string(), port, flow, scope).into_pyobject(py)?.into_any().unbind()
        }
        Address::UnixPath(path) => {
            let os = py.import("os")?;
            os.call_method1("fsdecode", (PyBytes::new(py, &path),))?.unbind()
        }
        Address::UnixAbstract(name) => PyBytes::new(py, &name).into_any().unbind(),
        Address::Other(family, data) => {
            (family, PyBytes::new(py, &data)).into_pyobject(py)?.into_any().unbind()
        }
    })
}
