//! A deterministic encoder without a network: what everything above `encoder` is tested with.
//!
//! Its space is eight colours and eight hash buckets. A picture is the share of its pixels nearest to each
//! colour; a text is the colours it names, with its other words hashed; so "red" really finds red pictures.

use crate::embedding::Embedding;
use crate::encoder::preprocess::Filter;
use crate::encoder::{Encoder, Fingerprint, JpegScale, Logit, Preprocess, Resize, Space};
use crate::error::Result;
use crate::pixels::Pixels;

const COLOURS: [(&str, [i32; 3]); 8] = [
    ("red", [255, 0, 0]),
    ("green", [0, 255, 0]),
    ("blue", [0, 0, 255]),
    ("yellow", [255, 255, 0]),
    ("white", [255, 255, 255]),
    ("black", [0, 0, 0]),
    ("cyan", [0, 255, 255]),
    ("magenta", [255, 0, 255]),
];

/// Words that name no colour, and the parts of a picture, fall into as many buckets.
const N_BUCKETS: usize = 8;

/// Of longer texts it reads the beginning.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// What is wrong with what a [`FakeEncoder`] gives for pictures and texts that are magenta before all; the rest is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A component is not a number.
    Nan,
    /// A component is infinite.
    Infinite,
    /// The vector is zero.
    Zero,
    /// The vector is twice as long as it should be.
    Long,
    /// There is a component too many.
    Dimension,
    /// Nothing is given.
    Count,
}

/// A deterministic stand-in for a model: 16 dimensions, no weights, both modalities comparable by colour.
#[derive(Clone, Debug)]
pub struct FakeEncoder {
    space: Space,
    preprocess: Preprocess,
    logit: Logit,
    fault: Option<Fault>,
}

impl FakeEncoder {
    /// An encoder whose fingerprint depends on `name` only.
    pub fn new(name: &str) -> Self {
        let preprocess = Preprocess {
            size: 8,
            jpeg_scale: JpegScale::USUAL,
            resize: Resize::Squash,
            filter: Filter::Bilinear,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        let fingerprint =
            Fingerprint(blake3::hash(format!("fake {name}").as_bytes()).to_hex().to_string());
        Self {
            space: Space { fingerprint, model: name.into(), dim: COLOURS.len() + N_BUCKETS },
            preprocess,
            logit: Logit::Softmax { scale: 10.0 },
            fault: None,
        }
    }

    /// The same encoder with something wrong: what must never get into a library can be seen to be refused.
    #[must_use]
    pub fn with_fault(self, fault: Fault) -> Self {
        Self { fault: Some(fault), ..self }
    }

    fn embeddings(&self, points: impl Iterator<Item = Vec<f32>>) -> Result<Vec<Embedding>> {
        let mut embeddings = Vec::new();
        for point in points {
            let fault = self.fault.filter(|_| is_magenta(&point));
            embeddings.extend(match fault {
                Some(fault) => fault.embedding(point)?,
                None => Some(Embedding::normalized(point)?),
            });
        }
        Ok(embeddings)
    }
}

impl Fault {
    /// Each, with its name.
    pub const ALL: [(&str, Self); 6] = [
        ("nan", Self::Nan),
        ("infinite", Self::Infinite),
        ("zero", Self::Zero),
        ("long", Self::Long),
        ("dimension", Self::Dimension),
        ("count", Self::Count),
    ];

    /// What comes out of a point that is made wrong.
    fn embedding(self, mut point: Vec<f32>) -> Result<Option<Embedding>> {
        match self {
            Self::Nan => point[0] = f32::NAN,
            Self::Infinite => point[0] = f32::INFINITY,
            Self::Zero => point.fill(0.0),
            Self::Long => {
                let unit = Embedding::normalized(point)?;
                return Embedding::new(unit.as_slice().iter().map(|it| 2.0 * it).collect())
                    .map(Some);
            }
            Self::Dimension => point.push(0.0),
            Self::Count => return Ok(None),
        }
        Embedding::normalized(point).map(Some)
    }
}

impl Default for FakeEncoder {
    fn default() -> Self {
        Self::new("fake")
    }
}

impl Encoder for FakeEncoder {
    fn space(&self) -> &Space {
        &self.space
    }

    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn logit(&self) -> &Logit {
        &self.logit
    }

    fn encode_images(&mut self, pictures: &[Pixels]) -> Result<Vec<Embedding>> {
        self.embeddings(pictures.iter().map(image_point))
    }

    fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<Embedding>> {
        self.embeddings(texts.iter().map(|text| text_point(text)))
    }

    fn reads_whole(&mut self, text: &str) -> Result<bool> {
        Ok(text.len() <= MAX_TEXT_BYTES)
    }
}

fn image_point(picture: &Pixels) -> Vec<f32> {
    let mut values = vec![0.0; COLOURS.len() + N_BUCKETS];
    for pixel in picture.rgb().chunks_exact(3) {
        values[nearest_colour(pixel)] += 1.0;
    }
    // A little of the picture's own layout, so that pictures of one colour still differ.
    let n_pixels = picture.rgb().len() / 3;
    for (i, pixel) in picture.rgb().chunks_exact(3).enumerate() {
        let brightness = pixel.iter().map(|&c| f32::from(c)).sum::<f32>() / (3.0 * 255.0);
        values[COLOURS.len() + i * N_BUCKETS / n_pixels] += 0.2 * brightness;
    }
    values
}

fn text_point(text: &str) -> Vec<f32> {
    let mut values = vec![0.0; COLOURS.len() + N_BUCKETS];
    let text = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
    for word in
        text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
    {
        match COLOURS.iter().position(|(name, _)| *name == word) {
            Some(colour) => values[colour] += 1.0,
            None => {
                let hash = blake3::hash(word.as_bytes());
                values[COLOURS.len() + usize::from(hash.as_bytes()[0]) % N_BUCKETS] += 0.1;
            }
        }
    }
    // A text without words is a point too; a real tower also answers to punctuation.
    values[COLOURS.len()] += 1e-3;
    values
}

/// Whether magenta, the last of the colours, is the most of it.
fn is_magenta(point: &[f32]) -> bool {
    let magenta = point[COLOURS.len() - 1];
    magenta > 0.0 && point.iter().all(|&value| value <= magenta)
}

fn nearest_colour(pixel: &[u8]) -> usize {
    let distance = |colour: &[i32; 3]| -> i32 {
        pixel.iter().zip(colour).map(|(&p, &c)| (i32::from(p) - c).pow(2)).sum()
    };
    (0..COLOURS.len()).min_by_key(|&i| distance(&COLOURS[i].1)).expect("there are eight colours")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_found_by_name() {
        let mut encoder = FakeEncoder::default();
        let picture = |rgb: [u8; 3]| Pixels::new(8, 8, rgb.repeat(64)).unwrap();
        let images = encoder.encode_images(&[picture([250, 5, 5]), picture([0, 0, 240])]).unwrap();
        let texts = encoder.encode_texts(&["a red thing", "something blue"]).unwrap();
        assert!(texts[0].score(&images[0]) > 0.8 && texts[0].score(&images[1]) < 0.3);
        assert!(texts[1].score(&images[1]) > 0.8 && texts[1].score(&images[0]) < 0.3);
        assert!(encoder.encode_texts(&["", "!"]).is_ok());
    }
    #[test]
    fn what_is_magenta_comes_out_wrong() {
        for (_, fault) in Fault::ALL {
            let mut encoder = FakeEncoder::default().with_fault(fault);
            assert_eq!(encoder.encode_texts(&["red"]).unwrap()[0].dim(), 16, "{fault:?}");
            let encoded = encoder.encode_texts(&["red", "magenta"]);
            let is_right = encoded.is_ok_and(|rows| rows.len() == 2 && rows[1].dim() == 16);
            assert!(!is_right, "{fault:?}");
        }
        assert_eq!(FakeEncoder::default().encode_texts(&["red", "magenta"]).unwrap().len(), 2);
    }
}
