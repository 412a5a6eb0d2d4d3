//! Fakes that count, refuse or lie.

use std::cell::Cell;

use mmsearch::encoder::{Encoder, FakeEncoder, Logit, Preprocess, Space};
use mmsearch::{Embedding, Error, Pixels, Result};

/// A fake that counts what it is asked to encode.
pub struct Counting {
    fake: FakeEncoder,
    pub n_pictures: Cell<usize>,
    pub n_texts: Cell<usize>,
}

impl Counting {
    pub fn new() -> Self {
        Self { fake: FakeEncoder::default(), n_pictures: Cell::new(0), n_texts: Cell::new(0) }
    }
}

impl Encoder for Counting {
    fn space(&self) -> &Space {
        self.fake.space()
    }
    fn preprocess(&self) -> &Preprocess {
        self.fake.preprocess()
    }
    fn logit(&self) -> &Logit {
        self.fake.logit()
    }
    fn encode_images(&mut self, pictures: &[Pixels]) -> Result<Vec<Embedding>> {
        self.n_pictures.set(self.n_pictures.get() + pictures.len());
        self.fake.encode_images(pictures)
    }
    fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<Embedding>> {
        self.n_texts.set(self.n_texts.get() + texts.len());
        self.fake.encode_texts(texts)
    }
    fn reads_whole(&mut self, text: &str) -> Result<bool> {
        self.fake.reads_whole(text)
    }
}

/// An encoder that refuses every picture that is mostly green.
pub struct Picky(pub FakeEncoder);

impl Encoder for Picky {
    fn space(&self) -> &Space {
        self.0.space()
    }
    fn preprocess(&self) -> &Preprocess {
        self.0.preprocess()
    }
    fn logit(&self) -> &Logit {
        self.0.logit()
    }
    fn encode_images(&mut self, pictures: &[Pixels]) -> Result<Vec<Embedding>> {
        if pictures.iter().any(|picture| picture.rgb()[1] > 200) {
            return Err(Error::Encoder { reason: "I do not like green".into() });
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

/// An encoder that fails on every picture.
pub struct Broken(pub FakeEncoder);

impl Encoder for Broken {
    fn space(&self) -> &Space {
        self.0.space()
    }
    fn preprocess(&self) -> &Preprocess {
        self.0.preprocess()
    }
    fn logit(&self) -> &Logit {
        self.0.logit()
    }
    fn encode_images(&mut self, _pictures: &[Pixels]) -> Result<Vec<Embedding>> {
        Err(Error::Encoder { reason: "the card is gone".into() })
    }
    fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<Embedding>> {
        self.0.encode_texts(texts)
    }
    fn reads_whole(&mut self, text: &str) -> Result<bool> {
        self.0.reads_whole(text)
    }
}

/// An encoder that says one dimension and gives another.
pub struct Lying(pub FakeEncoder);

impl Encoder for Lying {
    fn space(&self) -> &Space {
        self.0.space()
    }
    fn preprocess(&self) -> &Preprocess {
        self.0.preprocess()
    }
    fn logit(&self) -> &Logit {
        self.0.logit()
    }
    fn encode_images(&mut self, pictures: &[Pixels]) -> Result<Vec<Embedding>> {
        pictures.iter().map(|_| Embedding::new(vec![0.6, 0.8])).collect()
    }
    fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<Embedding>> {
        self.0.encode_texts(texts)
    }
    fn reads_whole(&mut self, text: &str) -> Result<bool> {
        self.0.reads_whole(text)
    }
}

/// Another model: every vector points the other way, and it takes red for blue in texts. It counts.
pub struct Other {
    fake: FakeEncoder,
    pub n_pictures: usize,
    pub n_texts: usize,
}

impl Other {
    pub fn new() -> Self {
        Self { fake: FakeEncoder::new("other"), n_pictures: 0, n_texts: 0 }
    }
}

impl Encoder for Other {
    fn space(&self) -> &Space {
        self.fake.space()
    }
    fn preprocess(&self) -> &Preprocess {
        self.fake.preprocess()
    }
    fn logit(&self) -> &Logit {
        self.fake.logit()
    }
    fn encode_images(&mut self, pictures: &[Pixels]) -> Result<Vec<Embedding>> {
        self.n_pictures += pictures.len();
        let turned = |embedding: Embedding| {
            Embedding::new(embedding.as_slice().iter().map(|value| -value).collect())
        };
        self.fake.encode_images(pictures)?.into_iter().map(turned).collect()
    }
    fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<Embedding>> {
        // The library's own; everyday phrases are encoded to know what scores mean.
        self.n_texts += texts.iter().filter(|text| text.contains(" thing ")).count();
        let turned = |embedding: Embedding| {
            let mut values: Vec<f32> = embedding.as_slice().iter().map(|value| -value).collect();
            values.swap(0, 2);
            Embedding::new(values)
        };
        self.fake.encode_texts(texts)?.into_iter().map(turned).collect()
    }
    fn reads_whole(&mut self, text: &str) -> Result<bool> {
        self.fake.reads_whole(text)
    }
}
