# Every target needs nothing but itself: the first one called sets everything up in .venv.
# All of them work again when they are run again, also after a failure.

PYTHON ?= $(firstword $(foreach python,python3.11 python3 python,$(if $(shell \
	$(python) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo yes),$(python))))
BIN := .venv/bin
READY := .venv/ready

.PHONY: help setup demo test test-all screenshot test-arm64 test-armhf lint notebook bench bench-harness onnx-speed \
	bench-runtime model-cards photo-accuracy interpreter-versions export-coverage

help:
	@echo "make demo           data, train, export --int8, bench, fmx-run: a few epochs, some minutes"
	@echo "make demo FULL=1    the same with all epochs"
	@echo "make test           the tests, about eight minutes on two slow cores"
	@echo "make test-all       every exhaustive test too, with SEEDS=8 times the random seeds, and on emulated Arm"
	@echo "make test-arm64     tests on an emulated 64-bit Arm, Raspberry Pi 3 to 5 (ALL=1: all of the runtime's)"
	@echo "make test-armhf     tests on an emulated 32-bit Arm, with tflite-runtime"
	@echo "make lint           ruff, mypy, import rules"
	@echo "make notebook       executes notebooks/fashion_mnist.ipynb in place, with all epochs"
	@echo "make bench          writes benchmarks/reference: the newest export, beside reference tools"
	@echo "make screenshot     writes docs/images/report.png: the top of benchmarks/reference/report.html"
	@echo "make bench-harness  writes docs/bench-harness.md: what the benchmark costs, and how well it repeats"
	@echo "make onnx-speed     writes docs/onnx-speed.md: time per operator, before and after"
	@echo "make bench-runtime  writes docs/runtime-speed.md: the runtime's overhead over the interpreter"
	@echo "make model-cards    writes docs/models: figures of the trained models (PHOTOS=DIR: on photos too)"
	@echo "make photo-accuracy PHOTOS=DIR   accuracy on photos, whole and with the garment segmented"
	@echo "make interpreter-versions   writes docs/interpreter-versions.md: why int8 differs between versions"
	@echo "make export-coverage   writes docs/export-coverage.md: which keras.applications can be exported (an hour)"
	@echo "make setup          only the virtual environment in .venv"

setup: $(READY)

# without --no-compile pip compiles all of TensorFlow, most of which is never imported
$(READY): pyproject.toml runtime/pyproject.toml constraints.txt tools/make-venv.sh
	@test -n "$(PYTHON)" || { echo "fmx needs Python 3.11: 'sudo apt-get install python3.11', or make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/pip && $(BIN)/pip --version >/dev/null 2>&1 || tools/make-venv.sh $(PYTHON) .venv
	$(BIN)/pip install -q --no-compile --disable-pip-version-check -c constraints.txt -e runtime -e '.[dev]'
	@touch $@

demo: $(READY)
	$(BIN)/fmx demo $(if $(FULL),--full)

# tests that read a clock come last, and run alone
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder

test: $(READY)
	$(BIN)/pytest $(PARALLEL) -m "not slow and not timed"
	$(BIN)/pytest -m "timed and not slow"

test-all: $(READY)
	FMX_TEST_SEEDS=$(or $(SEEDS),8) $(BIN)/pytest $(PARALLEL) -m "not timed"
	$(BIN)/pytest -m timed
	$(MAKE) test-arm64 ALL=1
	$(MAKE) test-armhf

test-arm64 test-armhf: test-%: $(READY)
	tools/emulated-python.sh $* build/$*
	FMX_DEVICE=$(CURDIR)/build/$* FMX_DEVICE_ALL=$(ALL) $(BIN)/pytest -q tests/arm

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

notebook: $(READY)
	rm -rf notebooks/work
	$(BIN)/jupyter execute --inplace --timeout=-1 notebooks/fashion_mnist.ipynb

bench: $(READY)
	$(BIN)/fmx bench --reference-tools -o benchmarks/reference

screenshot: $(READY)
	$(BIN)/python tools/screenshot.py benchmarks/reference/report.html docs/images/report.png

bench-harness: $(READY)
	$(BIN)/python tools/bench_harness.py

onnx-speed: $(READY)
	$(BIN)/python tools/onnx_operators.py

bench-runtime: $(READY)
	$(BIN)/python tools/bench_runtime.py

model-cards: $(READY)
	$(BIN)/python tools/model_cards.py exports/baseline/baseline.float32.tflite $(PHOTOS)

photo-accuracy: $(READY)
	$(BIN)/python tools/photo_accuracy.py $$(ls -t exports/*/*.int8.tflite | head -1) $(PHOTOS)

interpreter-versions: $(READY)
	$(BIN)/python tools/interpreter_versions.py

export-coverage: $(READY)
	$(BIN)/python tools/export_coverage.py $(if $(FAMILY),--only $(FAMILY))
