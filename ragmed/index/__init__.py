"""Passages and their vectors on disk, searchable by FAISS, with a manifest that says what made them.

recipe.py     indexes/NAME/recipe.yaml -> IndexRecipe
build.py      recipe -> a folder: streamed, resumable after a kill, manifest last
store.py      folder -> Index: checked, searched, exact scores
devices.py    the one door to faiss; CPU, one GPU, several
"""
