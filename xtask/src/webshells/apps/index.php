<?php
require __DIR__ . '/lib/page.php';
page('Welcome', 'Nothing to buy today.');
