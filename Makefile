# Needs Python 3.11, 3.12 or 3.13 (with venv) and make, nothing else. `make demo` shows everything once;
# `make test` runs the tests. See README.md.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := demo
GPU_REPORT := gpu-report
INSTALLED := $(VENV)/installed
PACKAGE := build/package
RELEASE := build/release
RELEASE_INSTALLED := $(RELEASE)/installed

.PHONY: demo test drills gpu slurm-drill coverage lint map reference docs package audit install lock figures clean

install: $(INSTALLED)

# Exact versions first; then the project itself, whose ranges they satisfy.
$(INSTALLED): requirements.lock pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Draws phantom radiographs, builds them as a dataset, trains, evaluates, explains.
demo: $(INSTALLED)
	rm -rf $(DEMO)
	$(BIN)/python -m cxr_tfds.phantom --output_dir=$(DEMO)/kaggle --images_per_class=250 --seed=0
	$(BIN)/tfds build cxr_tfds/covid19_radiography --manual_dir=$(DEMO)/kaggle \
		--data_dir=$(DEMO)/data --config=224x224
	$(BIN)/python -m trainer.main --model=lenet --strategy=mirrored \
		--virtual_devices=2 --epochs=12 --data_dir=$(DEMO)/data --workdir=$(DEMO)/run
	$(BIN)/python -m trainer.evaluate --workdir=$(DEMO)/run --split=test \
		--output_dir=$(DEMO)/report --note="Synthetic phantoms: no figure here is about patients."
	$(BIN)/python -m trainer.export_gradcam --workdir=$(DEMO)/run --split=test --per_class=8 \
		--method=hirescam --masks_dir=$(DEMO)/kaggle --output_dir=$(DEMO)/gradcam
	@echo
	@echo "Trained on synthetic phantom radiographs; research use only."
	@echo "The report:    $(DEMO)/report/report.html"
	@echo "The heatmaps:  $(DEMO)/gradcam/index.html"
	@echo "The training:  $(BIN)/tensorboard --logdir=$(DEMO)/run/tensorboard"

test: $(INSTALLED) lint
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile

# The longer tests.
drills: $(INSTALLED)
	$(BIN)/python -m pytest -m slow --numprocesses=2 --dist=loadfile

# Checks this machine's GPU and measures it, in 20 minutes after the installation: see docs/gpu.md.
gpu:
	@nvidia-smi -L > /dev/null 2>&1 || { echo "make gpu: nvidia-smi finds no GPU on this machine;" \
		"install NVIDIA's driver, or start the container with --gpus=all" >&2; exit 2; }
	$(MAKE) install
	$(BIN)/python -m pip install --requirement requirements.lock --requirement requirements-gpu.lock
	rm -rf $(GPU_REPORT)
	$(BIN)/python -m benchmarks.gpu_report --output_dir=$(GPU_REPORT)

# Trains under a SLURM of two nodes on this machine; as root it installs Debian's packages for that.
slurm-drill: $(INSTALLED)
	@if [ "$$(id -u)" = 0 ] && ! command -v slurmctld > /dev/null && command -v apt-get > /dev/null; then \
		apt-get install --yes --no-install-recommends slurm-wlm munge iproute2 util-linux; fi
	$(BIN)/python -m pytest -m slow -s -ra tests/test_slurm.py

# The tests once more, with the lines that they run counted, those of their processes too.
coverage: $(INSTALLED)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses=2 --dist=loadfile
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Draws the import map of CONTRIBUTING.md anew.
map: $(INSTALLED)
	$(BIN)/python -m tests.support.import_map

# Writes what docs/reference shows of the code: --help, exit codes, metrics, JSON schemas.
reference: $(INSTALLED)
	$(BIN)/python -m tests.support.generated_docs

# Builds the documentation site.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The site: build/site/index.html"

# The tools of a release have an environment of their own.
$(RELEASE_INSTALLED): requirements.lock requirements-release.lock
	rm -rf $(RELEASE)
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --constraint requirements.lock --requirement requirements-release.lock
	touch $@

# Makes dist/, the wheel from the sdist, checks both, lists what the lock file installs (CycloneDX), and
# tries the wheel in an environment and folder of its own.
package: $(INSTALLED) $(RELEASE_INSTALLED)
	rm -rf dist $(PACKAGE)
	$(BIN)/python -m build --no-isolation --outdir=dist .
	$(RELEASE)/bin/twine check --strict dist/*
	$(RELEASE)/bin/check-wheel-contents dist/*.whl
	$(RELEASE)/bin/cyclonedx-py requirements requirements.lock --output-reproducible --output-file=dist/sbom.json
	$(PYTHON) -m venv $(PACKAGE)/venv
	$(PACKAGE)/venv/bin/python -m pip install --quiet --constraint requirements.lock dist/*.whl
	$(PACKAGE)/venv/bin/python -m pip check
	cd $(PACKAGE) && venv/bin/cxr-phantom --output_dir=kaggle --images_per_class=12
	cd $(PACKAGE) && venv/bin/tfds build covid19_radiography --imports=cxr_tfds \
		--manual_dir=kaggle --data_dir=data --config=224x224
	cd $(PACKAGE) && venv/bin/cxr-train --model=lenet --epochs=1 --data_dir=data --workdir=run
	cd $(PACKAGE) && venv/bin/cxr-runs --runs_dir=.
	cd $(PACKAGE) && venv/bin/cxr-evaluate --workdir=run --output_dir=report --resamples=100
	cd $(PACKAGE) && venv/bin/cxr-gradcam --workdir=run --split=test --output_dir=gradcam
	cd $(PACKAGE) && venv/bin/cxr-export --workdir=run --output_dir=saved
	cd $(PACKAGE) && venv/bin/cxr-predict --model=saved --images=kaggle --output=predictions.csv

# Known vulnerabilities of what the lock file installs: fails for one, not for data out of reach.
audit: $(RELEASE_INSTALLED)
	$(RELEASE)/bin/python .ci/audit.py $(RELEASE)/bin/pip-audit requirements.lock

# Writes one extra's lock file: what it installs beside requirements.lock.
#   $(1): the extra.   $(2): what its packages are.
define lock_extra
	build/lock/bin/python -m pip install --quiet --dry-run --ignore-installed \
		--constraint requirements.lock --report build/$(1).json '.[$(1)]'
	echo "# Exact versions of $(2), beside requirements.lock; made by \`make lock\`." > requirements-$(1).lock
	build/lock/bin/python .ci/beside_lock.py build/$(1).json requirements.lock >> requirements-$(1).lock
endef

# Writes the lock files anew from the ranges in setup.py; of the GPU's and a release's nothing is installed.
lock:
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --upgrade pip
	build/lock/bin/python -m pip install --quiet setuptools wheel '.[dev]'
	build/lock/bin/python -m pip freeze --all --exclude pip --exclude cxr-trainer > build/requirements.txt
	echo "# Exact versions of everything that the commands install; made by \`make lock\`." > requirements.lock
	cat build/requirements.txt >> requirements.lock
	$(call lock_extra,gpu,NVIDIA's libraries)
	$(call lock_extra,release,the tools that check a release)

# Measures the speeds of docs/measured.md anew and writes its tables, in 25 minutes, alone on the machine.
#   DATA: the directory of the built database.   KAGGLE: what it was built from.
figures: $(INSTALLED)
	$(BIN)/python -m benchmarks.figures --data_dir="$(DATA)" --manual_dir="$(KAGGLE)"

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info .coverage* .mypy_cache
