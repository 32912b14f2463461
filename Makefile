# The chapter's commands; `make help` lists them.

VENV = .venv
# In place of MXNet 1.9.1: the file or URL of a wheel, or mxnet==2.0.0b1.
MXNET ?=
WHEEL = $(if $(MXNET),'$(MXNET)')
# The interpreter to build on: the first of these that is suitable.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.10 python3.9 python3; \
	do $$p -I gluon_mlp/machine/preflight.py $(WHEEL) 2>/dev/null && \
	echo $$p && exit; done; \
	echo python3)
# One line a section; read with sed, as there may be no environment yet.
SECTIONS := $(shell sed -n \
	"s/^    Section.'[0-9.]*', '\([a-z0-9_]*\)'.*/\1/p" gluon_mlp/sections.py)
SLOW := slow
PYTHONS := 3.9 3.10 3.11 3.12 3.13
EXPERIMENTAL := 3.13

BASE = $(VENV)/.base
STAMP = $(VENV)/.complete
NEW = $(VENV)-new
# A file dated in the future would make the stamp too old each time.
no_older = for file in $(1); do [ $$file -nt $@ ] && touch -r $$file $@; done; true
RUN = $(VENV)/bin/python
# Most tests are small processes: a few run at once, each in a GB at most.
# Python may keep the compiled tests, or else it needs seconds to read them.
PYTEST = PYTHONDONTWRITEBYTECODE= $(RUN) -m pytest \
	-n logical --maxprocesses 4 --dist worksteal

.PHONY: all help env data notebooks lab compare bench exercises doctor lint \
	quick test test-slow test-pythons test-mxnet2 clean FORCE $(SECTIONS)
.NOTPARALLEL:

all: data $(filter-out kaggle_house_price,$(SECTIONS))  ## environment, data, and all sections in their order
	@if $(RUN) -c 'from gluon_mlp import kaggle_house_price as k; k.load_data()' \
	  2>/dev/null; then $(MAKE) kaggle_house_price; \
	else echo 'kaggle_house_price: not run, for its data cannot be had;' \
	  'make kaggle_house_price says more' >&2; fi

help:  ## this list
	@awk -F ':.*  ## ' '/^[a-z0-9-]+:.*  ## / {printf "  make %-13s%s\n", $$1, $$2}' \
	  Makefile
	@echo '  make SECTION      4.1 to 4.10, or one of: $(SECTIONS)'
	@echo 'PYTHON=python3.12 after any of them chooses the interpreter.'

env: $(STAMP)  ## the environment, in .venv

# A PYTHON that the user names, and that .venv is not of, makes a new one.
ifneq ($(origin PYTHON),file)
ifneq ($(shell { $(PYTHON) -V; } 2>&1; :),$(shell { $(RUN) -V; } 2>&1; :))
$(BASE): FORCE
endif
endif
# So does another MXNET; the stamp keeps its name.
ifneq ($(MXNET),)
ifneq ($(MXNET),$(shell cat $(BASE) 2>/dev/null))
$(BASE): FORCE
endif
endif

# From nothing, beside the old one, which stays until the new one is whole:
# then the scripts that name their folder get the right name. Old pips cannot
# install a project in place (-e). The stamp is no older than what it is of.
$(BASE): constraints.txt pyproject.toml
	@{ $(PYTHON) -c 'raise SystemExit(42)'; } >/dev/null 2>&1; \
	[ $$? = 42 ] || { echo 'error: PYTHON=$(PYTHON) is no Python: get Python' \
	'3.11, or name yours, as in make PYTHON=/usr/bin/python3.11' >&2; exit 1; }
	@$(PYTHON) -I gluon_mlp/machine/preflight.py $(WHEEL)
	rm -rf $(NEW)
	$(PYTHON) -m venv $(NEW)
	$(NEW)/bin/python -m pip install 'pip>=22.3'
	sed '$(if $(MXNET),/^mxnet==/d)' constraints.txt >$(NEW)/constraints
	$(NEW)/bin/python -m pip install -c $(NEW)/constraints $(WHEEL) -e .
	@# MXNet says that it does not go with NumPy 2, the only one on 3.13.
	@$(NEW)/bin/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))' || \
	$(NEW)/bin/python -m pip install --no-deps mxnet==1.9.1
	@grep -lIF '$(NEW)' $(NEW)/bin/* | xargs sed -i.old 's|$(NEW)|$(VENV)|g'
	@rm -rf $(NEW)/bin/*.old $(VENV)
	mv $(NEW) $(VENV)
	@echo '$(MXNET)' > $@; $(call no_older,constraints.txt pyproject.toml)

# What the tools and the tests need beside that, pinned.
$(STAMP): $(BASE) requirements.txt
	sed '/^-/d$(if $(shell cat $(BASE)),;/^mxnet==/d)' requirements.txt \
	>$(VENV)/requirements
	$(RUN) -m pip install -c $(VENV)/constraints -r $(VENV)/requirements
	@touch $@; $(call no_older,$(BASE) requirements.txt)

data: $(BASE)  ## Fashion-MNIST, fetched unless it is there and intact
	$(RUN) -c 'from gluon_mlp.d2l import fashion_mnist; fashion_mnist.load()'

$(SECTIONS): $(BASE)
	$(RUN) chapters/$@.py

4.%: $(BASE)
	$(RUN) -m gluon_mlp run $@

notebooks: env  ## the sections as notebooks that have run, in notebooks/
	$(RUN) -m gluon_mlp notebooks

lab: env  ## the notebooks in JupyterLab; makes them if they are not there
	-@[ -e notebooks/kaggle_house_price.ipynb ] || $(MAKE) notebooks
	$(RUN) -m jupyterlab --ServerApp.root_dir=notebooks

compare: env  ## every number that the book published, beside ours
	$(RUN) -m gluon_mlp compare

bench: env  ## how fast each section trains here, and where the time goes
	$(RUN) -m gluon_mlp bench

exercises: env  ## all exercises in full; stores what their answers quote
	$(RUN) -m gluon_mlp exercise --store

doctor: $(BASE)  ## what this machine has, what is wrong, and the mend
	$(RUN) -m gluon_mlp doctor

lint: env  ## the rules of pyproject.toml, checked by ruff in a second
	$(RUN) -m ruff check .

quick: env  ## the tests that start no process and train nothing
	$(PYTEST) --dist loadfile --quick

test: env  ## the tests, but for the slow ones
	$(PYTEST)

test-slow: env  ## the slow tests: whole trainings, wrong ports, bench
	$(PYTEST) -m '$(SLOW)'

test-pythons:  ## test on each Python here, 3.9 to 3.13 (which may fail)
	@failed=; for version in $(PYTHONS); do \
	  for python in python$$version \
	      $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$version.*/bin/python; do \
	    $$python -c '' 2>/dev/null && break; python=; \
	  done; \
	  if [ -z "$$python" ]; then result='not found'; \
	  elif echo "== Python $$version: $$python"; \
	      $(MAKE) VENV=.venv-$$version PYTHON=$$python test; \
	  then result=passed; \
	  elif [ $$version = $(EXPERIMENTAL) ]; then result='failed (experimental)'; \
	  else result=failed; failed=1; fi; \
	  summary="$$summary\nPython $$version: $$result"; \
	done; printf "$$summary\n"; [ -z "$$failed" ]

# Of the slow tests only those that depend on MXNet: they have its marker.
test-mxnet2:  ## test on MXNet 2.0.0b1, in .venv-mxnet2; slow: MXNet's own
	$(MAKE) VENV=.venv-mxnet2 MXNET=mxnet==2.0.0b1 env
	$(MAKE) VENV=.venv-mxnet2 test
	$(MAKE) VENV=.venv-mxnet2 test-slow SLOW='slow and mxnet'

clean:  ## remove the environments, figures, report and bench
	rm -rf .venv .venv-* figures report bench build gluon_mlp.egg-info .pytest_cache
