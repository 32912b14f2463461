"""The report shows what was compared, in a real browser too."""
import base64
import json
import re
import shutil
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from gluon_mlp.compare import document, figures, page, published
from gluon_mlp.compare.rows import (
    Comparison,
    Control,
    Row,
    SourceText,
    compare_exact,
    compare_runs,
)

NOT_COMPARED = ('kaggle_house_price',)  # as where its data cannot be had
DIFFERS = ('dropout', 'concise/test_acc')
BY_EDITION = ('mlp_scratch', 'test_acc')
LABEL = 'script <script>alert("&")</script>'


def made_up_row(quantity, rng):
    """A row of eight runs around the book's, or of none."""
    q = quantity
    if q.section in NOT_COMPARED:
        nan = np.full_like(q.values, np.nan)
        return Row(q, nan, nan, 0, nan)
    book = np.where(np.isfinite(q.values), q.values, 1.0)
    runs = np.repeat(book[None], 8, axis=0)
    if q.kind != 'exact':
        noise = rng.normal(0, 0.003, (8, *book.shape))
        noise -= noise.mean(axis=0)  # so that each verdict is certain
        runs = runs * np.exp(noise)
    runs += {DIFFERS: 0.1, BY_EDITION: 0.022}.get((q.section, q.what), 0)
    if q.kind == 'exact':
        return compare_exact(q, runs[0])
    return compare_runs(q, runs, q.count, '2017-08-31')


@pytest.fixture(scope='module')
def comparison():
    """All published numbers: some reproduced, some not, some not compared."""
    rng = np.random.default_rng(0)
    return Comparison(
        [made_up_row(q, rng) for q in published.quantities()],
        [Control('mlp_scratch', 'scratch', 2, 2e-7, 3e-6, 1e-5),
         Control('dropout', 'concise', 2, 2e-3, 3e-6, 1e-5),
         Control('mlp_concise', '', None, np.nan, np.nan, 1e-5, LABEL)],
        [SourceText('norm of w, wd=0', 14.670721054077148,
                    rng.normal(14.1, 0.7, 20)),
         SourceText('norm of w, wd=3', 0.3454631567001343,
                    rng.normal(0.7, 0.03, 20))],
        {'machine': 'made up, 2 cores', 'label': LABEL})


@pytest.fixture(scope='module')
def path(comparison, tmp_path_factory):
    return page.write(comparison, tmp_path_factory.mktemp('report'))


@pytest.fixture(scope='module')
def html(path):
    return path.read_text('utf-8')


@pytest.fixture(scope='module')
def parsed(comparison, tmp_path_factory):
    folder = tmp_path_factory.mktemp('json')
    return json.loads(document.write(
        comparison, folder / 'new').read_text('utf-8'))


def verdicts(html, slug):
    """Of the rows of a section's table, by what they are of."""
    section = html.split(f'<h2 id="{slug}">')[1].split('<h2')[0]
    table = section.split('</table>')[0]
    return {re.search('<tr><td>([^<]+)', row)[1]:
            re.search('class="verdict [a-z]+">([^<]+)<', row)[1]
            for row in table.split('</tr>') if '<tr><td>' in row}


def test_total_at_the_top_is_the_sum_of_the_verdicts(html, comparison):
    """The first paragraph's counts are those of the rows, recounted."""
    by_edition = sum(int(r.by_edition.sum()) for r in comparison.rows)
    strict = sum(int(r.reproduced.sum()) for r in comparison.rows)
    assert by_edition == 10  # the curve that was shifted by 0.022
    text = re.sub(r'\s+', ' ', html.split('class="total">')[1])
    assert text.startswith(f'<strong>{strict + 10:,}</strong> of 1,307 '
                           'published numbers reproduced, 10 of these only '
                           'given the edition')
    assert 'Not compared, and counted as not reproduced: ' in text


def test_each_row_has_its_verdict(html):
    """The made-up differences come out as the verdict that they are."""
    assert verdicts(html, 'dropout')['concise/test_acc'] == 'differs'
    assert verdicts(html, 'dropout')['concise/train_acc'] == 'reproduced'
    assert verdicts(html, 'mlp_scratch')['test_acc'] == 'given the edition'
    for slug in NOT_COMPARED:
        assert set(verdicts(html, slug).values()) == {'not compared'}
    for slug in published.sections():
        assert list(verdicts(html, slug)) == [
            q.what for q in published.quantities(slug)]


def test_a_row_shows_book_ours_difference_and_allowed(comparison, html):
    """A printed value's row has the book's digits and our spread."""
    row = next(r for r in comparison.rows
               if r.quantity.what == 'scratch_lambd_3/l2_norm_of_w')
    cells = page._cells(row)
    assert cells['book'] == '0.38249096'
    mean, std = cells['ours'].split(' ± ')
    assert np.float32(mean) == np.float32(row.ours)
    assert float(std) == pytest.approx(row.std, rel=0.05)
    assert float(cells['difference']) == pytest.approx(
        row.ours - 0.38249096, rel=0.05)
    assert f'<td>{cells["book"]}</td>' in html


def test_a_curve_states_its_largest_difference_and_its_count():
    """0.5 and 3 times what is allowed, and one unknown: 3; 1 of 2."""
    q = published.Quantity('mlp', 'c', 'converged', 'curve',
                           np.array([1.0, 2.0, np.nan]), [1, 2, 3])
    row = Row(q, np.array([1.05, 2.3, 9.0]), np.full(3, 0.1), 8,
              np.full(3, 0.1))
    cells = page._cells(row)
    assert cells['difference'] == '3 × allowed'
    assert cells['count'] == '1 of 2' and cells['book'] == '1 … 2'


def test_a_diverged_curve_is_shown_as_such():
    """Ours is no number: nothing is hidden, and the figure is drawn."""
    q = published.Quantity('mlp', 'c', 'converged', 'curve',
                           np.array([1.0, 2.0]), [1, 2], 'log')
    row = Row(q, np.array([1.0, np.nan]), np.array([0.1, np.nan]), 8,
              np.array([0.1, np.nan]))
    cells = page._cells(row)
    assert cells['verdict'] == 'differs'
    assert cells['difference'] == 'ours is not a number'
    assert figures.of_section([row])[0]['caption'] == 'c 1 of 2'


def test_every_published_curve_is_in_one_figure(comparison, html):
    """17 figures of 4.1 to 4.6 hold each curve once; 2 histograms."""
    names = {s: figures.by_figure(comparison.rows_of(s))
             for s in published.sections()}
    assert [len(names[s]) for s in published.sections()] == [
        6, 1, 1, 3, 4, 2, 1, 2]
    drawn = [r for figures in names.values() for group in figures.values()
             for r in group]
    assert len(drawn) == sum(q.x is not None for q in published.quantities())
    assert [r.quantity.what for r in names['underfit_overfit']['normal']] == [
        'normal/train_loss', 'normal/test_loss']
    # But for 4.10's, and with the source text's.
    assert html.count('<figure>') == 18 + 2


def test_a_figure_has_the_axis_of_the_book_and_both_curves(comparison):
    """Above ours and the book's numbers; below, the difference."""
    rows = [replace(r, ours=1.25 * r.ours) for r in comparison.rows
            if r.quantity.what.startswith('normal/')
            and r.quantity.x is not None]
    above, *below = figures.draw_curves(rows).axes
    assert above.get_yscale() == 'log' and len(below) == 2
    ours, book = above.lines[:2]
    np.testing.assert_array_equal(ours.get_ydata(), rows[0].ours)
    np.testing.assert_array_equal(book.get_ydata(), rows[0].quantity.values)
    np.testing.assert_allclose(below[1].lines[-1].get_ydata(), 0.25)
    assert [t.get_text() for t in above.figure.legends[0].get_texts()] == [
        'train loss, ours', 'train loss, book', 'test loss, ours',
        'test loss, book']


def test_the_editions_shift_is_a_band_of_its_own(comparison):
    """Two bands where the edition shifts a curve, one where it does not."""
    rows = [r for r in comparison.rows if r.quantity.section == 'mlp_scratch']
    _, loss, train_acc, test_acc = figures.draw_curves(rows).axes
    assert [len(a.collections) for a in (loss, train_acc, test_acc)] == [
        2, 1, 2]
    outer, inner = (c.get_paths()[0].vertices[:, 1].max()
                    for c in test_acc.collections)
    assert outer - inner == pytest.approx(rows[2].shift)


def test_images_are_whole_svg_files_in_the_page(html):
    """Each is well-formed, and nothing is referred to outside the page."""
    images = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert len(images) == html.count('<img') == 20
    for image in images:
        root = ElementTree.fromstring(base64.b64decode(image))
        assert root.tag == '{http://www.w3.org/2000/svg}svg'
    assert set(re.findall(r'href="([^"]{,9})', html)) == {
        '#' + slug[:8] for slug in published.sections()}


def test_every_number_is_in_the_page(comparison, html):
    """A section's unfolded tables have a line for each of its numbers."""
    for slug in published.sections():
        section = html.split(f'<h2 id="{slug}">')[1].split('<h2')[0]
        lines = section.partition('<details><summary>Every')[2].count(
            '<tr><td class="number">')
        assert lines == (0 if slug in NOT_COMPARED else sum(
            q.values.size for q in published.quantities(slug)
            if q.values.size > 1))


def test_texts_are_escaped(html):
    """A text with markup in it is shown, not obeyed."""
    assert '<script' not in html
    assert 'script &lt;script&gt;alert(&#34;&amp;&#34;)' in html


def test_listings_are_the_files(html):
    """The listing's text, without its colours, is the chapter's script."""
    listing = html.split('Listing: chapters/mlp_concise.py</summary>')[1]
    listing = listing.split('</pre>')[0].partition('listing">')[2]
    text = ElementTree.fromstring(f'<pre>{listing}</pre>')
    script = (page.ROOT / 'chapters' / 'mlp_concise.py').read_text('utf-8')
    assert ''.join(text.itertext()).strip() == script.strip()


def test_controls_and_source_text_have_verdicts(html):
    """One control agrees, one differs; one number within, one outside."""
    control = html.split('<h2 id="control">')[1].split('<h2')[0]
    assert re.findall('verdict [a-z]+">([^<]+)<', control) == [
        'agrees', 'differs', 'differs']
    assert 'script &lt;script&gt;' in control  # why it cannot be compared
    text = html.split('<h2 id="source-text">')[1].split('<h2')[0]
    assert re.findall('verdict [a-z]+">([^<]+)<', text) == [
        'within', 'outside']
    assert 'above 0 of our 20' in text and '0.3454631567001343' in text


def test_json_has_the_documented_keys(parsed):
    """The schema of the docstring, key by key."""
    assert parsed['schema'] == 2
    assert list(parsed) == ['schema', 'about', 'published', 'total',
                              'sections', 'rows', 'controls', 'source_text']
    assert list(parsed['total']) == ['numbers', 'reproduced', 'by_edition',
                                       'not_compared']
    for name, keys in (
            ('sections', 'section numbers reproduced by_edition'),
            ('rows', 'section what kind digits axis runs verdict x book ours '
                     'std allowed shift reproduced by_edition'),
            ('controls', 'section what num_epochs history weights allowed '
                         'reason agrees'),
            ('source_text', 'what text draws agrees')):
        for entry in parsed[name]:
            assert list(entry) == keys.split()
    assert parsed['about']['label'] == LABEL


def test_json_holds_all_the_numbers(parsed, comparison):
    """Arrays come back as they were, NaN as null, and the counts add up."""
    total = parsed['total']
    assert total['numbers'] == 1307
    assert total['not_compared'] == list(NOT_COMPARED)
    for key in ('numbers', 'reproduced', 'by_edition'):
        assert sum(s[key] for s in parsed['sections']) == total[key]
    for row, r in zip(parsed['rows'], comparison.rows):
        for key, values in (('book', r.quantity.values), ('ours', r.ours),
                            ('std', r.std), ('allowed', r.allowed)):
            np.testing.assert_array_equal(np.array(row[key], float), values)
        assert row['reproduced'] == r.reproduced.tolist()
        assert np.shape(row['shift']) == r.quantity.values.shape
        assert (row['x'] is None) == (r.quantity.x is None)
        assert row['verdict'] == r.verdict
    curve = next(r for r in parsed['rows'] if r['what'] == 'train_loss')
    assert curve['book'][0] is None


def test_only_our_page_is_replaced(comparison, tmp_path):
    """An earlier page goes, what lies beside it stays, nothing is left."""
    small = Comparison([], [], [], {'run': 'first'})
    (tmp_path / 'mine.txt').write_text('keep')
    page.write(small, tmp_path)
    small.about['run'] = 'second'
    path = page.write(small, tmp_path)
    assert 'second' in path.read_text() and 'first' not in path.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ['index.html',
                                                          'mine.txt']


def test_a_failed_write_leaves_the_old_page(tmp_path, monkeypatch):
    """The disk is full halfway: the old page is whole, nothing is left."""
    small = Comparison([], [], [], {'run': 'first'})
    path = page.write(small, tmp_path)
    old = path.read_text()

    def half(self, text, encoding):
        with open(self, 'w') as file:
            file.write(text[:100])
        raise OSError('disk full')
    monkeypatch.setattr(page.Path, 'write_text', half)
    with pytest.raises(OSError, match='disk full'):
        page.write(small, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ['index.html']
    assert path.read_text() == old


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    """Chromium without a window; skips where it is not installed."""
    chromium, driver = shutil.which('chromium'), shutil.which('chromedriver')
    if not (chromium and driver):
        pytest.skip('no chromium or chromedriver: install the packages '
                    'chromium and chromium-driver')
    from selenium import webdriver
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ('--headless=new', '--no-sandbox', '--disable-gpu',
                     '--disable-quic', '--no-first-run', '--disable-sync',
                     '--disable-background-networking',
                     '--disable-component-update', '--user-data-dir='
                     + str(tmp_path_factory.mktemp('chromium'))):
        options.add_argument(argument)
    options.set_capability('goog:loggingPrefs',
                           {'browser': 'ALL', 'performance': 'ALL'})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield browser
    browser.quit()


OVERFLOW = '''
document.querySelectorAll('details').forEach(d => d.open = true);
return [window.innerWidth, document.documentElement.clientWidth,
        document.documentElement.scrollWidth]'''
IMAGES = '''
return [...document.images].map(i => i.complete && i.naturalWidth > 0)'''


@pytest.mark.slow
@pytest.mark.parametrize('width', [1280, 375])
def test_page_in_a_browser(browser, path, width):
    """At both widths: all images, no error, no sideways scroll, no network.

    With everything unfolded that can be.
    """
    browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', {
        'width': width, 'height': 800, 'deviceScaleFactor': 1,
        'mobile': width < 500})
    browser.get(path.as_uri())
    images = browser.execute_script(IMAGES)
    assert len(images) == 20 and all(images)
    assert browser.execute_script(OVERFLOW) in (
        [width] * 3, [width] + [width - 15] * 2)  # with a vertical bar
    assert browser.get_log('browser') == []
    events = [json.loads(entry['message'])['message']
              for entry in browser.get_log('performance')]
    urls = [e['params']['request']['url'] for e in events
            if e['method'] == 'Network.requestWillBeSent'
            and e['params']['documentURL'] == path.as_uri()]
    assert path.as_uri() in urls
    assert {url.split(':')[0] for url in urls} <= {'file', 'data'}
