demo test lint constraints:
	python3 dev.py $@

.PHONY: demo test lint constraints
