//! What a XEP module is.
