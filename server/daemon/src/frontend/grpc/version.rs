use tonic::Status;

use super::status;

/// The version that a request names, if any.
pub(super) fn parse(version: &str) -> Result<Option<u64>, Status> {
    if version.is_empty() {
        return Ok(None);
    }
    match version.parse::<i64>() {
        Ok(number) => u64::try_from(number).map(Some).map_err(|_| {
            status::invalid(format!(
                "invalid model version specified '{version}' , version should be an integral value > 0"
            ))
        }),
        Err(_) => Err(status::invalid(format!(
            "failed to get model version from specified version string '{version}' (details: stol), version should be \
             an integral value > 0"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_empty_or_a_whole_number_from_zero() {
        assert_eq!(parse("").unwrap(), None);
        assert_eq!(parse("0").unwrap(), Some(0));
        assert_eq!(parse("12").unwrap(), Some(12));
        assert!(parse("-1").unwrap_err().message().starts_with("invalid model version specified '-1' ,"));
        for text in ["x", "1x", "99999999999999999999"] {
            let status = parse(text).unwrap_err();
            assert!(status.message().starts_with("failed to get model version"), "{status}");
        }
    }
}
