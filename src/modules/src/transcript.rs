//! What the modules' transcripts have in common: errors as they come over the wire.

/// The error that answers an IQ: `from` and `id` as attributes, `payload` sent back, `kind` and `condition` of the error.
pub(crate) fn iq_error(attributes: &str, payload: &str, kind: &str, condition: &str) -> String {
    format!(
        "<iq type='error' {attributes}>{payload}<error type='{kind}'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )
}
