"""Originals beside what their small files give back."""
