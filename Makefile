# What a developer types. `make` alone lists the targets.
.PHONY: help test everything mutants lint types docs readme bench wheel

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 8

test:  ## the test suite, five minutes
	pytest

everything:  ## the test suite with what takes long: browsers, packages, killed processes
	pytest -m ""

mutants:  ## mutation tests of what numbers come from, hours
	OMP_NUM_THREADS=1 python benchmarks/mutants.py --count 300 --seed 0

lint:  ## style and format
	ruff check .
	ruff format --check .

types:  ## the type checker
	mypy

docs:  ## the documents as a site, in site/
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

readme:  ## what README's commands print, made again
	python docs/outputs.py

bench:  ## start, search, map and tuning, about half an hour; docs/benchmarks.md has the rest
	python benchmarks/startup.py
	python benchmarks/search.py
	python benchmarks/map.py
	python benchmarks/training.py

wheel:  ## the package, in dist/
	python -m build
