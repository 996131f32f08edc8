"""What a newcomer reads after `unlabeled learn`: `build` arranges what was computed as report.json, `render` makes one HTML file of it."""

from unlabeled.report.build import build
from unlabeled.report.page import render
