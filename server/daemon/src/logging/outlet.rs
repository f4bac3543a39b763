//! Where the lines of a log go.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::backlog::Backlog;

/// How many bytes of lines may wait for somebody to read those before them.
const ROOM: usize = 4 << 20;
/// How many of them lines may take that tell of no error.
const ROOM_WITHOUT_ERRORS: usize = ROOM / 4 * 3;
/// How many lines of another kind may take.
const ROOM_BESIDE: usize = ROOM / 2;
/// What a pipe takes whole or not at all, and takes at once if it says that it takes anything.
const WHOLE: usize = 4096;

/// Opens a file for appending, and makes it if there is none. That nobody reads a named pipe yet is no reason to wait.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let is_pipe = path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
    // With an end to read from as well, it is open at once, on Linux.
    OpenOptions::new().append(true).read(is_pipe).create(!is_pipe).open(path)
}

/// Standard error as a file of its own, so that nobody else's lock stands in the way.
pub(crate) fn standard_error() -> io::Result<File> {
    Ok(io::stderr().as_fd().try_clone_to_owned()?.into())
}

/// Writes lines to a file without making anybody wait for those who read it: a line is written by whoever brings it if that
/// takes no waiting, and else by a thread, which is there from the first such line on. What finds no room is dropped; the log
/// says how much it was.
///
/// That is asked of the system before each line. Another process that writes to the same pipe may get in between, so
/// that the line is waited for after all. A file of a disk is taken never to be waited for.
pub(crate) struct Outlet {
    file: File,
    is_regular: bool,
    backlog: Backlog<Vec<u8>>,
    thread: Once,
}

impl Outlet {
    pub(crate) fn new(file: File) -> Arc<Self> {
        let is_regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        Arc::new(Self { file, is_regular, backlog: Backlog::default(), thread: Once::new() })
    }

    /// How many lines were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.backlog.dropped()
    }

    /// Waits until all lines are written, at most so long. Whether they are.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        self.backlog.flush(limit)
    }

    /// Writes a line, unless it has to wait and those that wait already have so many bytes.
    fn write(self: &Arc<Self>, line: &[u8], room: usize) {
        if self.is_regular {
            return self.count_loss((&self.file).write_all(line));
        }
        if self.backlog.when_idle(|| self.write_at_once(line)) {
            return;
        }
        self.thread.call_once(|| {
            let outlet = Arc::clone(self);
            // Without a thread the lines are dropped, and there is nobody to be told.
            let _ = thread::Builder::new().name("nerite-log".to_owned()).spawn(move || outlet.write_on());
        });
        self.backlog.push(line.to_vec(), line.len(), room);
    }

    /// Writes a line of another kind, which must not take the room of the log's own.
    pub(crate) fn write_beside(self: &Arc<Self>, line: &[u8]) {
        self.write(line, ROOM_BESIDE);
    }

    /// Writes a last line, which is worth all the room, and waits for it at most so long.
    pub(super) fn write_last(self: &Arc<Self>, line: &[u8], limit: Duration) {
        self.write(line, ROOM);
        self.flush(limit);
    }

    /// A line that cannot be written is counted: there is nowhere to say it.
    fn count_loss(&self, written: io::Result<()>) {
        if written.is_err() {
            self.backlog.lose(1);
        }
    }

    /// Whether that could be done without waiting.
    fn write_at_once(&self, line: &[u8]) -> bool {
        if line.len() > WHOLE || !is_writable(&self.file, Some(&Timespec::default())) {
            return false;
        }
        match (&self.file).write(line) {
            Ok(written) => {
                self.count_loss(write_patiently(&self.file, &line[written..]));
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                self.count_loss(Err(error));
                true
            }
        }
    }

    fn write_on(&self) {
        let (mut lines, mut told) = (Vec::new(), 0);
        loop {
            self.backlog.take(&mut lines);
            for line in &lines {
                self.count_loss(write_patiently(&self.file, line));
            }
            let dropped = self.dropped();
            if dropped > told {
                tracing::warn!("{} lines of the log were dropped, since nobody read them", dropped - told);
                told = dropped;
            }
        }
    }
}

fn is_writable(file: &File, limit: Option<&Timespec>) -> bool {
    poll(&mut [PollFd::new(file, PollFlags::OUT)], limit).is_ok_and(|ready| ready > 0)
}

/// Writes all of it, however long that takes, also where the file was set not to let anybody wait.
pub(crate) fn write_patiently(mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => drop(is_writable(file, None)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// An outlet as the log's writer.
pub(super) struct Lines(pub(super) Arc<Outlet>);

/// Writes one line.
pub(super) struct LineWriter<'a> {
    outlet: &'a Arc<Outlet>,
    room: usize,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { outlet: &self.0, room: ROOM_WITHOUT_ERRORS }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LineWriter<'a> {
        let room = if *metadata.level() == Level::ERROR { ROOM } else { ROOM_WITHOUT_ERRORS };
        LineWriter { outlet: &self.0, room }
    }
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.outlet.write(line, self.room);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    fn pipe() -> (BufReader<io::PipeReader>, Arc<Outlet>) {
        let (reader, writer) = io::pipe().unwrap();
        (BufReader::new(reader), Outlet::new(File::from(std::os::fd::OwnedFd::from(writer))))
    }

    fn line(reader: &mut BufReader<io::PipeReader>) -> String {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line
    }

    #[test]
    fn a_line_is_in_the_pipe_as_soon_as_it_was_written() {
        let (mut reader, outlet) = pipe();
        for number in 0..1000 {
            outlet.write(format!("line {number}\n").as_bytes(), 0);
            assert_eq!(line(&mut reader), format!("line {number}\n"));
        }
        assert_eq!(outlet.dropped(), 0);
    }

    #[test]
    fn nobody_waits_for_a_pipe_that_is_full_and_what_was_kept_comes_in_order() {
        let (mut reader, outlet) = pipe();
        let text = "x".repeat(1000);
        for number in 0..10_000 {
            outlet.write(format!("{number} {text}\n").as_bytes(), ROOM_WITHOUT_ERRORS);
        }
        let dropped = outlet.dropped();
        assert!((1..9_900).contains(&dropped), "{dropped}");
        outlet.write(b"an error has room\n", ROOM);
        assert_eq!(outlet.dropped(), dropped);
        assert!(!outlet.flush(Duration::from_millis(1)));
        // Which of them found no room depends on when the thread took what there was before.
        let mut last = None;
        for _ in 0..10_000 - dropped {
            let line = line(&mut reader);
            let number: u64 = line.strip_suffix(&format!(" {text}\n")).unwrap().parse().unwrap();
            assert!(last < Some(number), "{number} after {last:?}");
            last = Some(number);
        }
        assert_eq!(line(&mut reader), "an error has room\n");
        assert!(outlet.flush(Duration::from_secs(60)));
        outlet.write(b"as before\n", 0);
        assert_eq!(line(&mut reader), "as before\n");
    }

    #[test]
    fn a_line_longer_than_a_pipe_takes_at_once_is_written_whole() {
        let (mut reader, outlet) = pipe();
        let long = format!("{}\n", "y".repeat(300_000));
        outlet.write(long.as_bytes(), ROOM);
        assert_eq!(line(&mut reader), long);
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted() {
        let (reader, outlet) = pipe();
        drop(reader);
        outlet.write(b"hello\n", ROOM);
        assert!(outlet.flush(Duration::from_secs(60)));
        assert_eq!(outlet.dropped(), 1);
        let full = Outlet::new(OpenOptions::new().append(true).open("/dev/full").unwrap());
        full.write(b"hello\n", ROOM);
        assert_eq!(full.dropped(), 1);
    }

    #[test]
    fn lines_of_another_kind_leave_room_for_the_logs_own() {
        let (_reader, outlet) = pipe();
        let line = [b'x'; 1000];
        (0..10_000).for_each(|_| outlet.write_beside(&line));
        let dropped = outlet.dropped();
        assert!(dropped > 0);
        outlet.write(&line, ROOM_WITHOUT_ERRORS);
        assert_eq!(outlet.dropped(), dropped);
    }
}
