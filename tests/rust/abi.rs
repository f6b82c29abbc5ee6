//! The ABI of `uring_rs::sys` against the kernel's own headers, through the C compiler.
//!
//! `ABI_INCLUDE=DIR cargo test --test abi` compares with the headers in another folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use uring_rs::sys::{abi, consts};

/// The kernel whose ABI `uring_rs::sys` describes.
const DESCRIBED: (u32, u32) = (6, 18);

/// The names of the submission entry's unions, and the field of ours at the same place.
const SQE_ALIASES: &[(&str, &str)] = &[
    ("addr2", "off"),
    ("cmd_op", "off"),
    ("splice_off_in", "addr"),
    ("level", "addr"),
    ("rw_flags", "op_flags"),
    ("fsync_flags", "op_flags"),
    ("poll_events", "op_flags"),
    ("poll32_events", "op_flags"),
    ("sync_range_flags", "op_flags"),
    ("msg_flags", "op_flags"),
    ("timeout_flags", "op_flags"),
    ("accept_flags", "op_flags"),
    ("cancel_flags", "op_flags"),
    ("open_flags", "op_flags"),
    ("statx_flags", "op_flags"),
    ("fadvise_advice", "op_flags"),
    ("splice_flags", "op_flags"),
    ("rename_flags", "op_flags"),
    ("unlink_flags", "op_flags"),
    ("hardlink_flags", "op_flags"),
    ("xattr_flags", "op_flags"),
    ("msg_ring_flags", "op_flags"),
    ("uring_cmd_flags", "op_flags"),
    ("waitid_flags", "op_flags"),
    ("futex_flags", "op_flags"),
    ("install_fd_flags", "op_flags"),
    ("nop_flags", "op_flags"),
    ("pipe_flags", "op_flags"),
    ("buf_group", "buf_index"),
    ("splice_fd_in", "file_index"),
    ("zcrx_ifq_idx", "file_index"),
    ("optlen", "file_index"),
    ("addr_len", "file_index"),
    ("write_stream", "file_index"),
    ("attr_ptr", "addr3"),
    ("optval", "addr3"),
    ("cmd", "addr3"),
    ("attr_type_mask", "pad2"),
];

/// Names that tell only where a list of the header ends.
const ENDS: &[&str] =
    &["IORING_OP_LAST", "IORING_REGISTER_LAST", "IORING_RESTRICTION_LAST", "IO_URING_QUERY_MAX"];

/// What the headers say.
#[derive(Default)]
struct Headers {
    version: (u32, u32),
    constants: BTreeMap<String, i128>,
    structs: BTreeMap<String, usize>,
    /// Offset and size by "struct.field".
    fields: BTreeMap<String, (usize, usize)>,
}

/// The compiler, with the folder it works in.
struct Compiler {
    folder: PathBuf,
    source: PathBuf,
}

impl Compiler {
    fn new(test: &str) -> Compiler {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("abi-{test}"));
        std::fs::create_dir_all(&folder).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/abi/abi.c");
        let compiler = Compiler { folder, source };
        compiler.write_names(&[]);
        let output = compiler.run(&["-fsyntax-only"]);
        assert!(
            output.status.success(),
            "linux/io_uring.h cannot be compiled (Debian: apt install linux-libc-dev):\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        compiler
    }

    fn write_names(&self, lines: &[String]) {
        std::fs::write(self.folder.join("names.h"), lines.join("\n") + "\n").unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let name = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let mut command = Command::new(&name);
        command.arg("-w").arg("-I").arg(&self.folder);
        if let Some(include) = std::env::var_os("ABI_INCLUDE") {
            command.arg("-I").arg(include);
        }
        command.args(arguments).arg(&self.source).env("LC_ALL", "C");
        command.output().unwrap_or_else(|error| {
            panic!("this test needs a C compiler, and {name} does not run: {error}")
        })
    }

    /// Everything the headers know of what `lines` ask for.
    fn ask(&self, mut lines: Vec<String>) -> Headers {
        let program = self.folder.join("abi");
        loop {
            self.write_names(&lines);
            let output = self.run(&["-o", program.to_str().unwrap()]);
            if output.status.success() {
                break;
            }
            let diagnosis = String::from_utf8_lossy(&output.stderr);
            let rejected = rejected_lines(&diagnosis);
            assert!(!rejected.is_empty(), "the compiler failed otherwise:\n{diagnosis}");
            let mut number = 0;
            lines.retain(|_| {
                number += 1;
                !rejected.contains(&number)
            });
        }
        let output = Command::new(&program).output().unwrap();
        assert!(output.status.success());
        parse(&String::from_utf8(output.stdout).unwrap())
    }

    /// Every name of the headers that looks like one of io_uring's constants.
    fn names(&self) -> BTreeSet<String> {
        const PREFIXES: &[&str] =
            &["IORING_", "IOSQE_", "IOU_", "IO_URING_", "SOCKET_URING_", "IO_WQ_"];
        let output = self.run(&["-E", "-dD"]);
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .map(|word| word.trim_start_matches('_'))
            .filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)))
            .map(str::to_owned)
            .collect()
    }
}

/// The lines of names.h that the diagnosis mentions: with warnings off, only what is wrong.
fn rejected_lines(diagnosis: &str) -> BTreeSet<usize> {
    let number = |rest: &str| rest.split(':').next()?.parse().ok();
    diagnosis.split("names.h:").skip(1).filter_map(number).collect()
}

fn parse(text: &str) -> Headers {
    let mut headers = Headers::default();
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["version", major, minor] => {
                headers.version = (major.parse().unwrap(), minor.parse().unwrap());
            }
            ["constant", name, negative, value] => {
                let bits: u64 = value.parse().unwrap();
                let value = if negative == "1" { i128::from(bits as i64) } else { bits.into() };
                headers.constants.insert(name.into(), value);
            }
            ["struct", name, size] => {
                headers.structs.insert(name.into(), size.parse().unwrap());
            }
            ["field", name, offset, size] => {
                let place = (offset.parse().unwrap(), size.parse().unwrap());
                headers.fields.insert(name.into(), place);
            }
            _ => panic!("not understood: {line}"),
        }
    }
    headers
}

/// Reserved space is what later kernels make fields of: it has no place of its own. That there is
/// nothing else between the fields follows from the sizes.
fn is_reserved(field: &str) -> bool {
    let name = field.trim_start_matches('_');
    ["pad", "resv", "rsvd", "reserved"].iter().any(|prefix| name.starts_with(prefix))
}

fn report(what: &str, compared: usize, missing: &[String], version: (u32, u32)) {
    println!(
        "{compared} {what} compared with the headers of Linux {}.{}; {} not there: {}",
        version.0,
        version.1,
        missing.len(),
        missing.join(" ")
    );
}

#[test]
fn constants_are_those_of_the_headers() {
    let lines = consts::all().map(|constant| format!("CONSTANT({})", constant.name)).collect();
    let headers = Compiler::new("constants").ask(lines);
    let mut missing = Vec::new();
    let mut wrong = Vec::new();
    for constant in consts::all() {
        match headers.constants.get(constant.name) {
            None => missing.push(constant.name.to_owned()),
            Some(&value) if value == constant.value => {}
            Some(value) => {
                wrong.push(format!("{}: {value}, not {}", constant.name, constant.value))
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let compared = headers.constants.len();
    report("constants", compared, &missing, headers.version);
    assert!(compared >= 175, "only {compared} constants were compared");
    if headers.version >= DESCRIBED {
        assert!(missing.is_empty(), "the headers have no {missing:?}");
    }
}

#[test]
fn no_constant_of_the_headers_is_left_out() {
    let compiler = Compiler::new("names");
    let ours: BTreeSet<_> = consts::all().map(|constant| constant.name).collect();
    let names = compiler.names();
    let found = names.iter().filter(|name| ours.contains(name.as_str())).count();
    assert!(found >= 160, "only {found} of our names are in the headers: is the search right?");
    let others: Vec<_> = names
        .iter()
        .filter(|name| !ours.contains(name.as_str()) && !ENDS.contains(&name.as_str()))
        .map(|name| format!("CONSTANT({name})"))
        .collect();
    // What compiles is a constant; the rest are types, include guards and words of comments.
    let headers = compiler.ask(others);
    let left_out: Vec<_> = headers.constants.keys().cloned().collect();
    report("names", found, &left_out, headers.version);
    if headers.version <= DESCRIBED {
        assert!(left_out.is_empty(), "missing in sys::consts: {left_out:?}");
    }
}

#[test]
fn structures_are_those_of_the_headers() {
    let mut lines = Vec::new();
    for layout in abi::layouts() {
        lines.push(format!("STRUCTURE({})", layout.name));
        for field in layout.fields.iter().filter(|field| !is_reserved(field.name)) {
            lines.push(format!("FIELD({}, {})", layout.name, field.name));
        }
    }
    let headers = Compiler::new("structures").ask(lines);
    let mut missing = Vec::new();
    for layout in abi::layouts() {
        match headers.structs.get(layout.name) {
            None => missing.push(layout.name.to_owned()),
            Some(&size) => assert_eq!(size, layout.size, "size of {}", layout.name),
        }
        for field in layout.fields.iter().filter(|field| !is_reserved(field.name)) {
            let name = format!("{}.{}", layout.name, field.name);
            match headers.fields.get(&name) {
                None => missing.push(name),
                Some(&place) => assert_eq!(place, (field.offset, field.size), "{name}"),
            }
        }
    }
    let (structs, fields) = (headers.structs.len(), headers.fields.len());
    report("structures and fields", structs + fields, &missing, headers.version);
    assert!(structs >= 20 && fields >= 80, "only {structs} and {fields} were compared");
    if headers.version >= DESCRIBED {
        // The first is our name for a union that has none of its own; the second came to 6.18 in
        // a stable release, out of reserved space.
        missing.retain(|name| name != "io_uring_sqe.op_flags");
        missing.retain(|name| name != "io_uring_buf_reg.min_left");
        assert!(missing.is_empty(), "the headers lack {missing:?}");
    }
}

#[test]
fn the_names_of_a_union_are_at_our_field() {
    let lines =
        SQE_ALIASES.iter().map(|(name, _)| format!("FIELD(io_uring_sqe, {name})")).collect();
    let headers = Compiler::new("unions").ask(lines);
    let sqe = abi::layouts().find(|layout| layout.name == "io_uring_sqe").unwrap();
    let mut missing = Vec::new();
    for (name, ours) in SQE_ALIASES {
        let field = sqe.fields.iter().find(|field| field.name == *ours).unwrap();
        match headers.fields.get(&format!("io_uring_sqe.{name}")) {
            None => missing.push((*name).to_owned()),
            Some(&(offset, size)) => {
                assert_eq!(offset, field.offset, "{name} is not at {ours}");
                assert!(size <= field.size, "{name} is longer than {ours}");
            }
        }
    }
    let compared = headers.fields.len();
    report("names of unions", compared, &missing, headers.version);
    assert!(compared >= 24, "only {compared} names were compared");
    assert!(headers.version < DESCRIBED || missing.is_empty(), "the headers lack {missing:?}");
}

#[test]
fn the_compiler_is_what_judges() {
    // A wrong name is dropped and a right one kept, or the other tests compare nothing.
    let lines = ["CONSTANT(NO_SUCH_NAME)", "CONSTANT(IORING_OP_READ)", "STRUCTURE(no_such)"];
    let more = ["FIELD(io_uring_cqe, no_such)", "FIELD(io_uring_cqe, res)", "STRUCTURE(open_how)"];
    let lines = lines.iter().chain(&more).map(|line| line.to_string()).collect();
    let headers = Compiler::new("judge").ask(lines);
    assert_eq!(headers.constants.into_iter().collect::<Vec<_>>(), [("IORING_OP_READ".into(), 22)]);
    assert_eq!(headers.structs.into_iter().collect::<Vec<_>>(), [("open_how".into(), 24)]);
    assert_eq!(
        headers.fields.into_iter().collect::<Vec<_>>(),
        [("io_uring_cqe.res".into(), (8, 4))]
    );
}
