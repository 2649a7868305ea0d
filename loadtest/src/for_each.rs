//! Many things at once, but not too many.

use std::future::Future;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::error::Error;
use crate::progress::Progress;

/// Runs one future for each item, at most `at_once` at a time, and counts those that are done. The results come in no order; the
/// first error ends it all.
pub async fn for_each<I, T, F>(
    items: I,
    at_once: usize,
    progress: &Progress,
    act: impl FnMut(I::Item) -> F,
) -> Result<Vec<T>, Error>
where
    I: IntoIterator,
    F: Future<Output = Result<T, Error>>,
{
    let running = stream::iter(items.into_iter().map(act)).buffer_unordered(at_once.max(1));
    running.inspect_ok(|_| progress.add(1)).try_collect().await
}
