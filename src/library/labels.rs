//! Texts that are no items, ranked beside those that are: a list of one's own to answer a picture from.

use super::Library;
use super::question::{self, Question};
use crate::encoder::Encoder;
use crate::encoder::each::of_this_space;
use crate::error::Result;
use crate::item::Modality;
use crate::query::Query;

/// Texts that are encoded at a time.
const BATCH: usize = 64;

impl Library {
    /// The score of each text with a query, as it would be if the text were in the library; a text is encoded in some
    /// milliseconds. Nothing if the library is empty.
    ///
    /// # Errors
    /// As [`Library::search`].
    pub fn scores_of_texts(
        &self,
        encoder: &mut dyn Encoder,
        query: &Query,
        texts: &[&str],
    ) -> Result<Vec<f32>> {
        question::check(query)?;
        let Some(space) = self.space_of(encoder.space())? else { return Ok(Vec::new()) };
        let view = self.catalog.view();
        let points = question::points(view, &space, Some(&mut *encoder), query)?;
        let question = Question::new(view, &space, Modality::Text, &points)?;
        let mut scores = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH) {
            let encoded = encoder.encode_texts(batch);
            let embeddings = of_this_space(encoded, batch.len(), space.dim)?;
            scores.extend(embeddings.iter().map(|embedding| question.score(embedding)));
        }
        Ok(scores)
    }
}
