"""The tables of 4.10 for tests: the real ones, and made ones."""
import hashlib
import shutil
from pathlib import Path

import gluon_mlp  # noqa: F401  isort: skip  (before MXNet)

import numpy as onp
import pandas as pd
import pytest
from gluon_mlp import kaggle_house_price as house

# The real tables may lie beside the project. They are never part of it.
SHARED = (Path(__file__).resolve().parents[2] / 'shared' / 'data'
          / 'kaggle_house')

NUMERIC = """
    MSSubClass LotFrontage LotArea OverallQual OverallCond YearBuilt
    YearRemodAdd MasVnrArea BsmtFinSF1 BsmtFinSF2 BsmtUnfSF TotalBsmtSF
    1stFlrSF 2ndFlrSF LowQualFinSF GrLivArea BsmtFullBath BsmtHalfBath
    FullBath HalfBath BedroomAbvGr KitchenAbvGr TotRmsAbvGrd Fireplaces
    GarageYrBlt GarageCars GarageArea WoodDeckSF OpenPorchSF EnclosedPorch
    3SsnPorch ScreenPorch PoolArea MiscVal MoSold YrSold""".split()
CATEGORIES = """
    MSZoning Street Alley LotShape LandContour Utilities LotConfig LandSlope
    Neighborhood Condition1 Condition2 BldgType HouseStyle RoofStyle RoofMatl
    Exterior1st Exterior2nd MasVnrType ExterQual ExterCond Foundation BsmtQual
    BsmtCond BsmtExposure BsmtFinType1 BsmtFinType2 Heating HeatingQC
    CentralAir Electrical KitchenQual Functional FireplaceQu GarageType
    GarageFinish GarageQual GarageCond PavedDrive PoolQC Fence MiscFeature
    SaleType SaleCondition""".split()


def make_table(rng, first_id, n):
    """`n` houses with the real columns; a tenth of the cells is missing."""
    columns = {'Id': onp.arange(first_id, first_id + n)}
    for name in NUMERIC:
        columns[name] = rng.integers(0, 2000, n)
    for name in CATEGORIES:
        columns[name] = rng.choice(['None', 'Gd', 'TA'], n)
    table = pd.DataFrame(columns)
    area = table.GrLivArea.copy()
    table = table.mask(rng.random(table.shape) < 0.1)
    table.Id = columns['Id']
    table['SalePrice'] = 100000 + 50 * area
    return table


def write_tables(folder, n=50):
    """Make two tables, and write them as the two files of the section."""
    rng = onp.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    tables = make_table(rng, 1, n), make_table(rng, n + 1, n)
    for name, table in zip(house.FILES, [tables[0],
                                         tables[1].iloc[:, :-1]]):
        table.to_csv(folder / name, index=False, na_rep='NA')
    return tables


def sha1(path):
    return hashlib.sha1(path.read_bytes()).hexdigest()


def find_real_tables():
    """The folder that has both real tables, undamaged; None if none has."""
    for folder in (SHARED, house.cache_folder()):
        if all((folder / name).exists() and sha1(folder / name) == known
               for name, known in house.FILES.items()):
            return folder


def use_real_tables(monkeypatch, tmp_path):
    """Let 4.10 find the real tables; skips the test where there are none."""
    folder = find_real_tables()
    if folder is None:
        pytest.skip('the house price tables are not at hand')
    monkeypatch.setenv('MXNET_HOME', str(tmp_path / 'home'))
    shutil.copytree(folder, house.cache_folder())
