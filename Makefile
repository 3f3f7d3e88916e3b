demo cluster test lint constraints:
	python3 dev.py $@

.PHONY: demo cluster test lint constraints
