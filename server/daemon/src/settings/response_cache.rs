//! `--cache-config=CACHE,KEY=VALUE` and the older `--response-cache-byte-size`.

use std::num::NonZeroUsize;

use serde::Deserialize;

use super::error::{Origin, SettingsError};
use super::kind::BYTES;

/// The one cache that there is, and its one setting.
const LOCAL: &str = "local";
const SIZE: &str = "size";

/// What the flags say of the response cache.
#[derive(Debug, Default, Deserialize)]
pub(super) struct CacheValues {
    #[serde(default)]
    config: Vec<String>,
    byte_size: Option<usize>,
}

impl CacheValues {
    /// How many bytes of answers are kept, if any. `config` and `byte_size` give the two flags, unless nobody does.
    pub(super) fn read(
        &self,
        config: Option<&Origin>,
        byte_size: Option<&Origin>,
    ) -> Result<Option<NonZeroUsize>, SettingsError> {
        if let (Some(_), Some(older)) = (config, byte_size) {
            let why =
                "it and --cache-config are incompatible flags; --cache-config=local,size=BYTES says the same";
            return Err(SettingsError::Refused { origin: older.clone(), why });
        }
        let mut size = self.byte_size.unwrap_or(0);
        for text in &self.config {
            size = read(text, config.unwrap_or(&Origin::Default))?;
        }
        Ok(NonZeroUsize::new(size))
    }
}

/// Takes `CACHE,KEY=VALUE` apart: the size of the cache.
fn read(text: &str, origin: &Origin) -> Result<usize, SettingsError> {
    let wrong = |found: &str, expected: String| {
        let (origin, found) = (origin.clone(), found.to_owned());
        SettingsError::Value { origin, found, expected }
    };
    let parts = text.split_once(',').and_then(|(cache, setting)| Some((cache, setting.split_once('=')?)));
    let Some((cache, (key, value))) = parts else {
        return Err(wrong(text, "CACHE,KEY=VALUE, for instance local,size=1048576".to_owned()));
    };
    if cache != LOCAL {
        let why = "the only cache is 'local', in the memory of the process; it speaks to no Redis and loads no cache that is \
                   a shared library";
        return Err(SettingsError::Refused { origin: origin.clone(), why });
    }
    if key != SIZE {
        let (origin, key, known) = (origin.clone(), key.to_owned(), SIZE.to_owned());
        return Err(SettingsError::UnknownBackendKey { origin, backend: "the cache 'local'", key, known });
    }
    value.parse().map_err(|_| wrong(value, format!("{} for '{SIZE}'", BYTES.expected())))
}
