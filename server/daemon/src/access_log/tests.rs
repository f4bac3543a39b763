//! A log of requests whose reader the test owns.

use std::fs::File;
use std::io::{self, BufRead, BufReader, PipeReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use tonic::Status;

use super::*;
use crate::logging::Outlet;
use crate::net::{CallDeadline, Peer};
use crate::settings::{Log, LogFormat};

fn start(sample: u32) -> (BufReader<PipeReader>, Arc<AccessLog>) {
    let (reader, writer) = io::pipe().unwrap();
    let format = LogFormat::Default;
    let log = Log { verbosity: 0, info: true, warning: true, error: true, format, file: None };
    let log = LogControl::new(&log, Outlet::new(tempfile::tempfile().unwrap()));
    let file = File::from(OwnedFd::from(writer));
    (
        BufReader::new(reader),
        AccessLog::start(To::File(file), NonZeroU32::new(sample).unwrap(), &log).unwrap(),
    )
}

/// The fields of the next line.
fn line(reader: &mut BufReader<PipeReader>) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line.split_once("access] ").unwrap().1.trim_end().to_owned()
}

#[test]
fn one_request_in_so_many_is_taken_down() {
    let (mut reader, log) = start(3);
    let taken = (0..10).filter_map(|_| log.begin(&Request::new(()))).map(|record| record.ended(None)).count();
    assert_eq!(taken, 4);
    assert!(log.flush(Duration::from_secs(60)));
    for _ in 0..4 {
        assert!(line(&mut reader).starts_with("status=OK total_us="));
    }
}

#[test]
fn a_request_says_how_it_ended_also_if_its_caller_gave_up() {
    let (mut reader, log) = start(1);
    let peer: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let begin = |request| log.begin(&request).unwrap();
    begin(Request::builder().extension(Peer(peer)).body(()).unwrap()).ended(None);
    begin(Request::new(())).ended(Some(&Status::not_found("no")));
    drop(begin(Request::new(())));
    drop(begin(Request::builder().extension(CallDeadline(Instant::now())).body(()).unwrap()));
    assert!(line(&mut reader).starts_with("peer=127.0.0.1:9 status=OK "));
    for status in ["NOT_FOUND", "CANCELLED", "DEADLINE_EXCEEDED"] {
        assert!(line(&mut reader).starts_with(&format!("status={status} ")));
    }
    assert_eq!(log.dropped(), 0);
}

#[test]
fn without_a_reader_nobody_waits_and_every_line_is_written_or_counted() {
    const REQUESTS: u64 = 3 * ROOM as u64;
    let (mut reader, log) = start(1);
    for _ in 0..REQUESTS {
        log.begin(&Request::new(())).unwrap().ended(None);
    }
    let dropped = log.dropped();
    assert!(dropped > 0);
    assert!(!log.flush(Duration::from_millis(1)));
    for _ in 0..REQUESTS - dropped {
        line(&mut reader);
    }
    assert!(log.flush(Duration::from_secs(60)));
    assert_eq!(log.dropped(), dropped);
}

#[test]
fn what_cannot_be_written_is_counted() {
    let (reader, log) = start(1);
    drop(reader);
    for _ in 0..5 {
        log.begin(&Request::new(())).unwrap().ended(None);
    }
    assert!(log.flush(Duration::from_secs(60)));
    assert_eq!(log.dropped(), 5);
}
