"""Published statements about the COVID-19 Radiography Database, for its datasheet.

Sources: its page on Kaggle and the articles in CITATIONS.bib.
"""

from . import datasheet

ANSWERS = {
    datasheet.UNKNOWN: "Not told by the database; its authors may know.",
    "purpose": "Research on telling COVID-19 from other findings on chest radiographs (Chowdhury "
    "et al., 2020, https://doi.org/10.1109/ACCESS.2020.3010287; Rahman et al., 2021, "
    "https://doi.org/10.1016/j.compbiomed.2021.104319).",
    "creators": "Researchers of Qatar University, the University of Dhaka and others, with medical "
    "doctors.",
    "instances": "A chest radiograph. All that is told here is of the database's own files: of "
    "phantoms, or other pictures in its layout, it is not true.",
    "sample": "What public collections offered, and no sample of any population: it must not be "
    "taken to stand for patients, hospitals or the frequency of a disease.",
    "label": "The folder that its authors put it in. Each source found its diagnoses in its own "
    "way; nobody examined them again for this dataset.",
    "subpopulations": "Sources, see below. All of `kermany` are children: every Viral Pneumonia "
    "and a part of Normal. No other age, no sex and no patient is told.",
    "acquired": "In the care of patients, and then published: BIMCV-COVID19, Eurorad, SIRM, the "
    "repository of Hannover Medical School, COVID-CXNet, covid-chestxray-dataset, the RSNA "
    "Pneumonia Detection Challenge, and Kermany et al. The workbooks name the source of each.",
    "sampling": "Images were taken over from those collections, in stages; how they were chosen is "
    "not told.",
    "directly": "From others: no source is a collection of the database's own.",
    "used": "To train and compare classifiers, in the articles above and in many others.",
    "composition_effects": "Source and class go together: a model can tell classes apart by "
    "hospital, device or age. Collections copied from each other, so that near-copies occur.",
    "not_for": "For research only: nothing trained on it may guide the care of a patient. Nor is "
    "it evidence that a model tells COVID-19 from other diseases of the same hospital or age.",
    "third_parties": "Yes, on https://www.kaggle.com/datasets/tawsifurrahman/"
    "covid19-radiography-database.",
    "how": "From its page on Kaggle; neither this package nor the builder redistributes it.",
    "third_party_terms": "Each source has its own terms: read them before you publish images or "
    "models.",
    "host": "Its authors, on Kaggle.",
    "contact": "Its authors, by its page on Kaggle.",
    "updates": "Its authors extended it in stages; 21,165 images are the last that are known here.",
}
