// Before anything is drawn: the theme that was chosen here. A plain script, since modules wait.
{
  const theme = localStorage.getItem('runwire.theme');
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
}
