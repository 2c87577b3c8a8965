"""Runs the program `wstest` from a folder of packages: wstest.py FOLDER ARGUMENT..."""
import site
import sys

site.addsitedir(sys.argv.pop(1))  # unlike PYTHONPATH this reads the folder's .pth files
from autobahntestsuite.wstest import run

run()
