"""Stage `render`: shapes into views.

In: a folder of meshes, clouds or pictures; out: views.h5, or a folder of pictures.
Imports from: data, data.cameras, data.clouds, data.folders, data.pictures, data.store.
"""
