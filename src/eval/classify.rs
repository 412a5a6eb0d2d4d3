//! Zero-shot classification of single pictures: the class whose name lies nearest, and how probable it is.

use std::ops::ControlFlow;

use crate::embedding::{Embedding, dot};
use crate::encoder::Encoder;
use crate::encoder::each::encode_each_image;
use crate::error::{Error, Result};
use crate::eval::Labels;
use crate::eval::classes::{check_prompts, class_embeddings};
use crate::eval::encode::{BATCH, teller};
use crate::media::in_parallel;
use crate::pixels::Pixels;

/// A class, and how well it fits a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// Which.
    pub label: String,
    /// How probable it is, by the model's own last step: of all classes together 1 where the model was trained to
    /// choose one of them (softmax), each for itself where it was trained to judge pairs (sigmoid).
    pub probability: f32,
    /// Cosine of the class with the picture, higher is closer.
    pub score: f32,
}

/// Names the classes of pictures by an encoder that need not have been trained on them.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use mmsearch::Pixels;
/// use mmsearch::encoder::FakeEncoder;
/// use mmsearch::eval::{Classifier, DEFAULT_PROMPT, Labels};
///
/// let labels = Labels::new(["red", "blue"])?;
/// let prompts = [DEFAULT_PROMPT.to_string(), "something {}".to_string()];
/// // In an app: `DualEncoder::mini(Device::Cpu)?`, the model that is compiled in.
/// let mut encoder = FakeEncoder::default();
/// let mut go_on = |_: usize, _: usize| ControlFlow::Continue(());
/// let mut classifier = Classifier::new(&mut encoder, &labels, &prompts, &mut go_on)?;
///
/// let pictures = [[10, 20, 240], [230, 10, 10]].map(|rgb| rgb.repeat(32 * 32));
/// let mut names = Vec::new();
/// let read = |rgb: &Vec<u8>| Pixels::new(32, 32, rgb.clone());
/// classifier.classify(&pictures, read, |_, guesses| {
///     names.push(guesses.map(|guesses| guesses[0].label.clone()));
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(names.into_iter().collect::<Result<Vec<_>, _>>()?, ["blue", "red"]);
/// # Ok::<(), mmsearch::Error>(())
/// ```
pub struct Classifier<'a> {
    encoder: &'a mut dyn Encoder,
    labels: Vec<String>,
    classes: Vec<Embedding>,
}

impl<'a> Classifier<'a> {
    /// Encodes the classes: every label, put into each of the prompts in the place of `{}`, and the mean of those.
    ///
    /// `progress` is told how many of how many texts are done.
    ///
    /// # Errors
    /// [`Error::BadOption`] if there is no prompt, or one has no `{}`; the encoder's; [`Error::Cancelled`].
    pub fn new(
        encoder: &'a mut dyn Encoder,
        labels: &Labels,
        prompts: &[String],
        progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Self> {
        check_prompts(prompts)?;
        let labels = labels.as_slice().to_vec();
        let mut tell = teller(progress, labels.len() * prompts.len());
        let classes = class_embeddings(encoder, &labels, prompts, &mut tell)?;
        Ok(Self { encoder, labels, classes })
    }

    /// All classes for an image of the encoder's space, the best first; equals in the order of the labels.
    ///
    /// # Errors
    /// [`Error::Dimension`] if the embedding is of another space.
    pub fn guesses(&self, image: &Embedding) -> Result<Vec<Guess>> {
        let expected = self.encoder.space().dim;
        if image.dim() != expected {
            return Err(Error::Dimension { expected, found: image.dim() });
        }
        let cosine = |class: &Embedding| dot(image.as_slice(), class.as_slice()).clamp(-1.0, 1.0);
        let scores: Vec<f32> = self.classes.iter().map(cosine).collect();
        let probabilities = self.encoder.logit().probabilities(&scores);
        let guess = |((label, probability), score): ((&String, f32), f32)| Guess {
            label: label.clone(),
            probability,
            score,
        };
        let mut guesses: Vec<Guess> =
            self.labels.iter().zip(probabilities).zip(scores).map(guess).collect();
        // By the score and not by the probability, which is 0 for all that is far from the best.
        guesses.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(guesses)
    }

    /// Classifies pictures, batch by batch and in their order. `read` decodes one, on several threads at once;
    /// `visit` gets the guesses of [`Classifier::guesses`] or the reason why there are none, and may stop.
    ///
    /// # Errors
    /// The encoder's, if it fails on a plain picture too; [`Error::Cancelled`] if `visit` says so.
    pub fn classify<P: Sync>(
        &mut self,
        pictures: &[P],
        read: impl Fn(&P) -> Result<Pixels> + Sync,
        mut visit: impl FnMut(&P, Result<Vec<Guess>>) -> ControlFlow<()>,
    ) -> Result<()> {
        for batch in pictures.chunks(BATCH) {
            let guesses = self.batch(batch, &read)?;
            for (picture, guesses) in batch.iter().zip(guesses) {
                if visit(picture, guesses).is_break() {
                    return Err(Error::Cancelled);
                }
            }
        }
        Ok(())
    }

    /// One call of the encoder; an outcome for each picture.
    fn batch<P: Sync>(
        &mut self,
        batch: &[P],
        read: &(impl Fn(&P) -> Result<Pixels> + Sync),
    ) -> Result<Vec<Result<Vec<Guess>>>> {
        let preprocess = self.encoder.preprocess();
        let mut squares = Vec::with_capacity(batch.len());
        let square = |i: usize| preprocess.apply(&read(&batch[i])?);
        let readable: Vec<Result<()>> = in_parallel(batch.len(), square)
            .into_iter()
            .map(|square| square.map(|square| squares.push(square)))
            .collect();
        let encoded = encode_each_image(self.encoder, &squares)?;
        let mut encoded = encoded.into_iter();
        let mut guesses = || match encoded.next().expect("there is one for each that is readable") {
            Ok(embedding) => self.guesses(&embedding),
            Err(reason) => Err(Error::Encoder { reason }),
        };
        Ok(readable.into_iter().map(|readable| readable.and_then(|()| guesses())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::{FakeEncoder, Logit, Preprocess, Space};

    /// The fake with another last step, which refuses white pictures.
    struct Judging(FakeEncoder, Logit);

    impl Encoder for Judging {
        fn space(&self) -> &Space {
            self.0.space()
        }
        fn preprocess(&self) -> &Preprocess {
            self.0.preprocess()
        }
        fn logit(&self) -> &Logit {
            &self.1
        }
        fn encode_images(&mut self, pictures: &[Pixels]) -> Result<Vec<Embedding>> {
            if pictures.iter().any(|picture| picture.rgb().iter().all(|&value| value == 255)) {
                return Err(Error::Encoder { reason: "too bright".into() });
            }
            self.0.encode_images(pictures)
        }
        fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<Embedding>> {
            self.0.encode_texts(texts)
        }
        fn reads_whole(&mut self, text: &str) -> Result<bool> {
            self.0.reads_whole(text)
        }
    }

    const RED: [u8; 3] = [255, 0, 0];
    const WHITE: [u8; 3] = [255; 3];

    fn outcomes(pictures: &[[u8; 3]]) -> Vec<Result<Vec<Guess>>> {
        let mut encoder =
            Judging(FakeEncoder::default(), Logit::Sigmoid { scale: 10.0, bias: -5.0 });
        let labels = Labels::new(["blue", "red", "scarlet red"]).unwrap();
        let mut go_on = |_: usize, _: usize| ControlFlow::Continue(());
        let prompts = ["{}".to_string()];
        let mut classifier = Classifier::new(&mut encoder, &labels, &prompts, &mut go_on).unwrap();
        let mut outcomes = Vec::new();
        let read = |rgb: &[u8; 3]| Pixels::new(8, 8, rgb.repeat(64));
        let visit = |_: &_, guesses| {
            outcomes.push(guesses);
            ControlFlow::Continue(())
        };
        classifier.classify(pictures, read, visit).unwrap();
        outcomes
    }

    #[test]
    fn each_class_is_judged_for_itself_where_the_model_does_so() {
        let guesses = outcomes(&[RED]).remove(0).unwrap();
        let names: Vec<&str> = guesses.iter().map(|guess| guess.label.as_str()).collect();
        assert_eq!(names, ["red", "scarlet red", "blue"]);
        for Guess { probability, score, .. } in &guesses {
            let expected = 1.0 / (1.0 + (5.0 - 10.0 * score).exp());
            assert!((probability - expected).abs() < 1e-5, "{probability} {expected}");
        }
        let sum: f32 = guesses.iter().map(|guess| guess.probability).sum();
        assert!(sum > 1.5, "two classes may both be probable");
    }

    #[test]
    fn a_picture_that_the_encoder_refuses_costs_only_itself() {
        let mut pictures = vec![RED; 11];
        pictures[9] = WHITE;
        let found = outcomes(&pictures);
        assert_eq!(found.len(), 11);
        for (i, outcome) in found.iter().enumerate() {
            assert_eq!(outcome.is_err(), i == 9, "{outcome:?}");
        }
        assert!(found[9].as_ref().unwrap_err().to_string().contains("too bright"));
    }
}
