//! Copying trees without Python: on the real file system, with hosts that stop, and in any order.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{symlink, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use uring_rs::bulk::tree::{copy, walk, Alone, Control, Host, Options, Problem, Stop};
use uring_rs::sys::Errno;

/// A folder that goes away with this.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("uring_rs-tree-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

const OPTIONS: Options = Options { recursive: true, collect: false, specials: true, threads: 2 };

fn run(src: &Path, dst: &Path, options: Options, host: &mut dyn Host) -> (Vec<Problem>, Control) {
    let control = Control::default();
    let (problems, _) = copy(&c(src), &c(dst), options, &control, host);
    (problems, control)
}

fn many(folder: &Path, count: usize) {
    fs::create_dir_all(folder.join("inner")).unwrap();
    for number in 0..count {
        let content = vec![number as u8; 100 + number];
        fs::write(folder.join(format!("inner/{number}")), content).unwrap();
    }
    symlink("inner", folder.join("link")).unwrap();
    fs::hard_link(folder.join("inner/0"), folder.join("hard")).unwrap();
}

#[test]
fn a_tree_is_copied_by_any_number_of_threads() {
    let folder = Folder::new();
    many(&folder.at("src"), 300);
    for threads in 1..5 {
        let dst = folder.at(&format!("dst{threads}"));
        let options = Options { threads, ..OPTIONS };
        let (problems, control) = run(&folder.at("src"), &dst, options, &mut Alone);
        assert_eq!(problems, []);
        for number in 0..300 {
            let content = fs::read(dst.join(format!("inner/{number}"))).unwrap();
            assert_eq!(content, vec![number as u8; 100 + number]);
        }
        assert_eq!(fs::read_link(dst.join("link")).unwrap(), Path::new("inner"));
        let (one, two) = (dst.join("hard"), dst.join("inner/0"));
        assert_eq!(one.metadata().unwrap().ino(), two.metadata().unwrap().ino());
        let all: Vec<_> = control.counts.all();
        assert_eq!(
            all[..4],
            [("files", 300), ("directories", 2), ("symlinks", 1), ("hard_links", 1)]
        );
        assert_eq!(control.counts.bytes(), (0..300).map(|number| 100 + number).sum::<u64>());
    }
}

/// Stops at its nth look.
struct Stopping(usize);

impl Host for Stopping {
    fn look(&mut self, _control: &Control) -> Result<(), Stop> {
        self.0 = self.0.checked_sub(1).ok_or(Stop)?;
        Ok(())
    }
}

#[test]
fn a_host_that_stops_leaves_nothing_half_made() {
    let folder = Folder::new();
    let pipe = folder.at("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    fs::create_dir(folder.at("to")).unwrap();
    let options = Options { recursive: false, ..OPTIONS };
    for looks in 0..3 {
        // Nobody ever writes to the pipe: only the host can end it.
        let (problems, control) = run(&pipe, &folder.at("to/copy"), options, &mut Stopping(looks));
        assert_eq!(problems, []);
        assert!(control.stopped());
        assert_eq!(fs::read_dir(folder.at("to")).unwrap().count(), 0);
    }
}

#[test]
fn the_first_problem_stops_unless_all_are_wanted() {
    let folder = Folder::new();
    many(&folder.at("src"), 200);
    for number in [10, 20, 30] {
        fs::create_dir_all(folder.at(&format!("dst/inner/{number}"))).unwrap();
    }
    let source = folder.at("src/.");
    let (problems, control) = run(&source, &folder.at("dst"), OPTIONS, &mut Alone);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].errno, Errno::EISDIR);
    assert!(control.stopped());
    let options = Options { collect: true, ..OPTIONS };
    let (mut problems, control) = run(&source, &folder.at("dst"), options, &mut Alone);
    problems.sort_by(|one, two| one.path.cmp(&two.path));
    let paths: Vec<_> = problems.iter().map(|problem| problem.path.clone()).collect();
    let expected =
        [10, 20, 30].map(|number| folder.at(&format!("dst/inner/{number}")).into_os_string());
    assert_eq!(paths, expected.map(|path| path.as_bytes().to_vec()));
    assert!(!control.stopped());
    assert!(folder.at("dst/inner/199").exists());
}

#[test]
fn a_walk_is_the_same_in_pieces() {
    let folder = Folder::new();
    many(&folder.at("src"), 1500);
    for stat in [false, true] {
        let options = walk::Options { stat, follow: false, threads: None };
        let mut walk = walk::Walk::new(c(&folder.0), options);
        let mut names = Vec::new();
        loop {
            let batch = walk.next(&mut Alone).unwrap();
            if batch.is_empty() {
                break;
            }
            assert!(batch.len() <= 600);
            for index in 0..batch.len() {
                let found = batch.get(index).unwrap();
                assert_eq!(found.answer.unwrap().size > 0, stat);
                names.push([found.folder, found.name.to_bytes()].concat());
            }
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 1504);
    }
}
