# Everything a person needs: `make demo` shows the main job, `make test` passes the tests.
# The only tools asked for are rustup's toolchain, a C++ compiler and python3 with pip.

PREFIX ?= /usr/local
# Photos, captions and pretrained weights that are not part of the repository.
SHARED ?= ../shared
# How many photos a round of bench-encode has.
PHOTOS ?= 500
# How many photos of a camera's size (about 4 MB each, kept in run/) and how many small ones bench-index has, and how often.
CAMERA ?= 500
SMALL ?= 2000
ROUNDS ?= 3
BIN := $(or $(CARGO_TARGET_DIR),target)/release/mmsearch
CARGO_BUILD := cargo build --release

.PHONY: demo build setup test torture check install uninstall bench bench-encode bench-index bench-query bench-scale bench-search bench-search-captions golden jpeg-recall training-data model ablations families parity retrieval clean

demo: build ## Index the drawn pictures of the repository and search them
	@scripts/demo $(BIN)

# Features belong to a whole build, and whatever is built with libtorch loads it; so the program is built without.
build: setup ## Build the program, and the encoder that it starts
	$(CARGO_BUILD) --bin mmsearch-encoder
	$(CARGO_BUILD) --no-default-features --features cli --bin mmsearch

# Says what is missing before anything is downloaded or compiled.
setup: ## Fetch libtorch once, into a cache folder of the user
	@command -v cargo >/dev/null || { echo "make: there is no cargo; install Rust from https://rustup.rs"; exit 1; }
	@command -v $${CXX:-c++} >/dev/null || { echo "make: there is no C++ compiler; install one (Debian: apt install g++, macOS: xcode-select --install)"; exit 1; }
	@command -v python3 >/dev/null || { echo "make: there is no python3; install it with pip (Debian: apt install python3-pip)"; exit 1; }
	@python3 scripts/fetch-libtorch

test: setup ## All tests, with and without libtorch, and the app that depends on the crate
	scripts/test

# Hundreds of kills, power cuts and errors; `make test` takes a sample of them. Mounting a file system for it needs root.
FUZZ_SECONDS ?= 60
TORTURE = cargo test --release --no-default-features --features cli
torture: ## Faults at every place, then fuzzing: the better part of an hour, without libtorch
	@command -v cc >/dev/null || { echo "make: there is no C compiler; install one (Debian: apt install gcc)"; exit 1; }
	MMSEARCH_TORTURE=1 $(TORTURE) --test torture --test bad_inputs -- --nocapture
	MMSEARCH_TORTURE=1 $(TORTURE) --test library model
	scripts/fuzz $(FUZZ_SECONDS)

check: setup ## What a pull request must pass: format, lints, tests, documentation
	cargo fmt --check
	cargo clippy --release --all-targets -- -D warnings
	cargo clippy --release --no-default-features --all-targets -- -D warnings
	cargo clippy --release --no-default-features --features cli --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps
	scripts/test

install: build ## Copy the program and its libraries below PREFIX
	scripts/install $(BIN) "$(PREFIX)"

uninstall:
	rm -rf "$(PREFIX)/bin/mmsearch" "$(PREFIX)/lib/mmsearch"

# The vectors of bench-search: how many, of how many dimensions, and how often all engines take their turn.
VECTORS ?= 100000
DIM ?= 512
SEARCH_ROUNDS ?= 3
SEARCH_BENCH = "$$(ls -t $(dir $(BIN))deps/search-* | grep -v '\.d$$' | head -1)"
SCALE_BENCH = "$$(ls -t $(dir $(BIN))deps/scale-* | grep -v '\.d$$' | head -1)"

bench: bench-search ## The short form of the search bench: 20,000 vectors
bench: VECTORS = 20000
bench: SEARCH_ROUNDS = 1

.venv/peers: .venv/installed
	.venv/bin/pip install -q hnswlib faiss-cpu usearch
	touch $@

bench-search: setup .venv/peers ## Searching drawn vectors beside hnswlib, faiss and usearch, taking turns
	cargo bench --no-default-features --bench search --no-run
	test -f run/vectors-$(VECTORS)-$(DIM)/base.f32 || $(PYTHON) scripts/bench_vectors.py run/vectors-$(VECTORS)-$(DIM) $(VECTORS) $(DIM)
	$(PYTHON) scripts/bench_search.py $(SEARCH_BENCH) run/vectors-$(VECTORS)-$(DIM) $(DIM) --rounds $(SEARCH_ROUNDS)

# The same with vectors that mini gives real photos, and real captions as queries; what is missing to VECTORS is drawn around them.
bench-search-captions: build .venv/peers ## Searching photos by captions beside hnswlib, faiss and usearch
	@test -d "$(SHARED)/data" || { echo "make: $(SHARED)/data is not there; it has the photos and captions"; exit 1; }
	cargo bench --no-default-features --bench search --no-run
	test -f run/captions/base.f32 || PYTHON=$(PYTHON) scripts/caption_vectors $(BIN) "$(SHARED)/data/flickr8k" run/captions $(VECTORS)
	$(PYTHON) scripts/bench_search.py $(SEARCH_BENCH) run/captions 256 --rounds $(SEARCH_ROUNDS)

SIZES ?= 10000,100000,1000000
bench-scale: setup ## How a library grows: times, sizes, exponents, docs/scale.svg
	cargo bench --no-default-features --bench scale --no-run
	python3 scripts/bench_scale.py $(SCALE_BENCH) run/scale $(SIZES) docs/scale.svg

# PyTorch of the same version as our libtorch, for the golden files and to be measured beside.
# The stamp comes last, so that an installation that was interrupted is done again.
PYTHON := .venv/bin/python
.venv/installed:
	python3 -m venv .venv
	.venv/bin/pip install -q torch==2.11.0 numpy safetensors tokenizers pillow
	touch $@

ENCODE_BENCH = "$$(ls -t $(dir $(BIN))deps/encode-* | grep -v '\.d$$' | head -1)"
bench-encode: build .venv/families ## Pictures to embeddings beside the same networks in PyTorch, taking turns
	cargo bench --bench encode --no-run
	PYTHONPATH=scripts $(PYTHON) scripts/bench_encode.py $(ENCODE_BENCH) models/mini
	@test -d "$(SHARED)/data" || echo "skipped: ViT-B/32 and RN50 beside open_clip, which need the photos of $(SHARED)"
	@test ! -d "$(SHARED)/data" || PYTHONPATH=scripts $(PYTHON) scripts/bench_families.py $(ENCODE_BENCH) $(BIN) "$(SHARED)/data/flickr8k/val.tar" "$(SHARED)/weights/bpe_simple_vocab_16e6.txt.gz" $(PHOTOS)

# ONNX Runtime is a peer to be measured beside; where it cannot be had, the table has one line less.
.venv/onnx: .venv/families
	.venv/bin/pip install -q onnx onnxruntime || echo "skipped: ONNX Runtime, which pip does not find here"
	touch $@

bench-index: build .venv/onnx ## Whole runs of `index` beside PyTorch and ONNX Runtime pipelines, taking turns
	@test -d "$(SHARED)/data" || { echo "make: $(SHARED)/data is not there; it has the photos that are indexed"; exit 1; }
	cargo bench --bench encode --no-run
	$(PYTHON) scripts/camera_photos.py "$(SHARED)/data/flickr8k/val.tar" $(CAMERA) run/camera-$(CAMERA)
	rm -rf run/small && mkdir -p run/small && tar xf "$(SHARED)/data/flickr8k/train.tar" -C run/small $$(tar tf "$(SHARED)/data/flickr8k/train.tar" | grep jpg | sort | head -$(SMALL))
	PYTHONPATH=scripts $(PYTHON) scripts/bench_index.py $(BIN) $(ENCODE_BENCH) "$(SHARED)/weights/bpe_simple_vocab_16e6.txt.gz" run/camera-$(CAMERA) run/small --rounds $(ROUNDS)

jpeg-recall: build .venv/installed ## What scaled decoding costs: vectors and R@10 of photos at a camera's size
	@test -d "$(SHARED)/data" || { echo "make: $(SHARED)/data is not there; it has the photos that are enlarged"; exit 1; }
	$(PYTHON) scripts/camera_photos.py "$(SHARED)/data/flickr8k/val.tar" $(CAMERA) run/camera-$(CAMERA)
	$(PYTHON) scripts/jpeg_recall.py $(BIN) models/mini "$(SHARED)/data/flickr8k/val.tar" "$(SHARED)/data/flickr8k/captions.jsonl" run/camera-$(CAMERA) run/jpeg-recall

# How many pictures the library of bench-query has.
PICTURES ?= 100000
QUERY_BENCH = "$$(ls -t $(dir $(BIN))deps/query-* | grep -v '\.d$$' | head -1)"
.venv/faiss: .venv/families
	.venv/bin/pip install -q faiss-cpu
	touch $@

# The bench is built first: it may put a program with libtorch in the place of the one to be measured.
bench-query: setup .venv/faiss ## A text query beside open_clip and faiss, from starting a process and in one that stays
	cargo bench --bench query --no-run
	$(MAKE) build
	PYTHONPATH=scripts $(PYTHON) scripts/bench_query.py $(QUERY_BENCH) $(BIN) run/bench-query-$(PICTURES) $(PICTURES)
	cargo bench --no-default-features --bench filters -- run/bench-filters 200000

# How the terms of a query are best put together, measured on real photos and captions: docs/retrieval.md.
retrieval: build .venv/installed
	@test -d "$(SHARED)/data" || { echo "make: $(SHARED)/data is not there; it has the photos and captions"; exit 1; }
	mkdir -p run/retrieval
	$(PYTHON) scripts/retrieval.py $(BIN) "$(SHARED)/data" run/retrieval

# ---- making the model; needs the photos of SHARED, which are not part of the repository ----
RUN ?= run/mini

training-data:
	@test -d "$(SHARED)/data" || { echo "make: $(SHARED)/data is not there; the model was learned from photos that cannot be given away (see models/mini/MODEL_CARD.md)"; exit 1; }
	@mkdir -p run/data && ln -sfn "$$(cd "$(SHARED)" && pwd)/data" run/data/data && ln -sfn "$$(cd "$(SHARED)" && pwd)/weights" run/data/weights
	@ln -sfn "$$PWD/recipes/words" run/data/words
	test -f run/data/scenes/captions.jsonl || cargo run --release --example draw_scenes -- run/data/scenes --count 2000 --seed 1 --split train --format jpeg

model: build training-data ## Train models/mini again by its recipe
	$(BIN) train --recipe recipes/mini.json --data run/data --out "$(RUN)" --cache run/cache --resume
	@echo "the model is in $(RUN)/model; compare: $(BIN) --model $(RUN)/model eval …"

ablations: build training-data ## Train the recipes of recipes/ablations and print the model card's table
	scripts/ablations $(BIN) run/data run/ablations

# The reference implementations, for the values that imported checkpoints must give.
.venv/families: .venv/installed
	.venv/bin/pip install -q open_clip_torch transformers sentencepiece protobuf ftfy "pillow<13" torch==2.11.0 torchvision==0.26.0
	touch $@

families: .venv/families ## Write the small checkpoints of fixtures/families again
	$(PYTHON) scripts/families.py tiny fixtures/families

# The photos come from SHARED; about 3 GB below run/parity.
parity: setup .venv/families ## Published architectures at full size, beside open_clip and transformers
	@test -d "$(SHARED)/data" || { echo "make: $(SHARED)/data is not there; it has the photos and the vocabulary that are compared"; exit 1; }
	$(PYTHON) scripts/families.py full run/parity "$(SHARED)/data/flickr8k/val.tar" "$(SHARED)/data/flickr8k/captions.jsonl" "$(SHARED)/weights/bpe_simple_vocab_16e6.txt.gz"
	cargo run --release --example parity -- run/parity

golden: .venv/installed ## Write the golden files again with PyTorch (downloads it into .venv)
	$(PYTHON) scripts/golden.py --make-tiny fixtures/models/tiny
	$(PYTHON) scripts/golden.py models/mini

clean:
	cargo clean
