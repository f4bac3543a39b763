//! The metrics endpoint, read as text.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything that the endpoint on that port of the loopback interface says.
pub fn scrape(port: u16) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The values of a family, one for each of its series.
pub fn values(text: &str, family: &str) -> Vec<f64> {
    let series = text
        .lines()
        .filter(|line| line.strip_prefix(family).is_some_and(|rest| rest.starts_with(['{', ' '])));
    series.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_of_a_family_are_those_of_that_name_alone() {
        let text = "# TYPE a gauge\na{model=\"x y\"} 2\na{model=\"z\"} 0\na_b 7\nb 1.5\n";
        assert_eq!(values(text, "a"), [2.0, 0.0]);
        assert_eq!(values(text, "b"), [1.5]);
        assert!(values(text, "c").is_empty());
    }
}
