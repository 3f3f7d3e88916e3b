demo cluster test docs lint constraints:
	python3 dev.py $@

.PHONY: demo cluster test docs lint constraints
