<?php
function page(string $title, string $text): void
{
    echo '<h1>', htmlspecialchars($title), '</h1><p>', htmlspecialchars($text), '</p>';
}
