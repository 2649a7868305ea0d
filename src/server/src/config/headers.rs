//! Headers that go with requests to somebody else's server. Their values are secrets: no error, log or printed configuration shows
//! them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

/// Headers of gRPC requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, toml::Value>", into = "BTreeMap<String, String>")]
pub struct Headers(Vec<(AsciiMetadataKey, AsciiMetadataValue)>);

impl Headers {
    /// For a request.
    pub fn to_metadata(&self) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        for (name, value) in &self.0 {
            metadata.insert(name.clone(), value.clone());
        }
        metadata
    }
}

impl TryFrom<BTreeMap<String, toml::Value>> for Headers {
    type Error = String;

    fn try_from(given: BTreeMap<String, toml::Value>) -> Result<Self, String> {
        let header = |(name, value): (String, toml::Value)| {
            let key = name.parse::<AsciiMetadataKey>();
            let key = key.map_err(|_| format!("{name:?} can't be the name of a header"))?;
            let value = value.as_str().and_then(|text| AsciiMetadataValue::try_from(text).ok());
            let mut value =
                value.ok_or_else(|| format!("the value of the header {name:?} must be one line of text"))?;
            value.set_sensitive(true);
            Ok((key, value))
        };
        given.into_iter().map(header).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Headers> for BTreeMap<String, String> {
    /// Names, and dots for the values.
    fn from(headers: Headers) -> Self {
        headers.0.iter().map(|(name, _)| (name.to_string(), "…".to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Headers, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())
    }

    #[test]
    fn a_value_is_shown_to_nobody_but_the_receiver() {
        let headers = read("x-api-key = 's3cret'").expect("valid");
        let metadata = headers.to_metadata();
        assert_eq!(metadata.get("x-api-key").map(AsciiMetadataValue::as_bytes), Some(&b"s3cret"[..]));
        let written = serde_json::to_string(&headers).expect("plain data");
        assert_eq!(written, r#"{"x-api-key":"…"}"#);
        for shown in [format!("{headers:?}"), format!("{metadata:?}"), written] {
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }

    #[test]
    fn what_can_not_be_sent_is_refused_by_its_name_alone() {
        for (wrong, told) in [("'x y' = 's3cret'", "x y"), ("key = \"s3cret\\n\"", "\"key\""), ("key = 53", "\"key\"")]
        {
            let error = read(wrong).expect_err(wrong);
            assert!(error.contains(told) && !error.contains("s3c") && !error.contains("53"), "{error}");
        }
    }
}
